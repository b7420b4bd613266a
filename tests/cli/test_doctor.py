"""The doctor says what is missing even where it could not be imported."""

import subprocess
import sys

import pytest

from peftsearch.cli.doctor import unmet


def test_what_is_missing_or_too_old_is_named_with_what_to_do():
    found = unmet(["torch>=2", "torch>=99", "surely-not-installed>=1", "neither-this; extra == 'demo'"])
    assert len(found) == 2
    assert "pip install 'torch>=99'" in found[0]
    assert "surely-not-installed is not installed" in found[1]


@pytest.mark.parametrize("broken", ["torch", "peft"])
def test_a_package_that_does_not_import_is_a_problem_and_no_traceback(broken):
    code = f"import sys, peftsearch; from peftsearch.cli.main import main\nsys.modules['{broken}'] = None\n"
    done = subprocess.run([sys.executable, "-c", code + "sys.exit(main(['doctor']))"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert f"PROBLEM: torch or peft cannot be imported (import of {broken} halted" in done.stdout
