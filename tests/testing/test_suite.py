"""The shipped suite itself: it says what it needs, and no class passes by testing nothing."""

import subprocess
import sys

import pytest


def test_without_pytest_it_says_what_to_install():
    code = "import sys; sys.modules['pytest'] = None; import peftsearch.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "peftsearch.testing needs pytest: pip install 'peftsearch[testing]'" in done.stderr


def test_a_class_that_names_nothing_is_an_error(tmp_path, capsys):
    tests = tmp_path / "test_nothing.py"
    tests.write_text("from peftsearch.testing import SpaceTests\n\n\nclass TestNothing(SpaceTests):\n    pass\n")
    assert pytest.main(["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(tmp_path), str(tests)]) != 0
    assert "names nothing to test: no space" in capsys.readouterr().out
