"""Which versions of peft the tuner accepts, with real imports in a process of their own."""

import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

RANGE = next(text for text in requires("peftsearch") if text.startswith("peft")).removeprefix("peft")


@pytest.fixture
def old_peft(tmp_path) -> dict[str, str]:
    """An environment in which a package named peft says that it is old."""
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "__init__.py").touch()
    (tmp_path / "peft-0.20.1.dist-info").mkdir()
    (tmp_path / "peft-0.20.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: peft\nVersion: 0.20.1\n"
    )
    source = Path(__file__).parents[1] / "src"
    return os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{source}"}


@pytest.mark.parametrize("order", ["import peft, peftsearch", "import peftsearch, peft"])
def test_another_peft_is_refused_with_its_version_and_the_range(order, old_peft):
    done = subprocess.run([sys.executable, "-c", order], env=old_peft, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"VersionError: peft 0.20.1 is installed, but this peftsearch works with peft{RANGE} only." in done.stderr


def test_a_command_says_so_without_a_traceback(old_peft, tmp_path):
    start = "import sys; from peftsearch.cli.main import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["search", "--model", "demo", "--task", "demo", "--budget", "1%", "--output", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", start, *arguments], env=old_peft, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"pip install 'peft{RANGE}'" in done.stderr
