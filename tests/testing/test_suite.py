"""The shipped suite itself: it says what it needs, and no class passes by testing nothing."""

import subprocess
import sys


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def test_without_pytest_it_says_what_to_install():
    done = run("import sys; sys.modules['pytest'] = None; import peftsearch.testing")
    assert done.returncode == 1
    assert "peftsearch.testing needs pytest: pip install 'peftsearch[testing]'" in done.stderr


def test_a_class_that_names_nothing_is_an_error(tmp_path):
    tests = tmp_path / "test_nothing.py"
    tests.write_text("from peftsearch.testing import SpaceTests\n\n\nclass TestNothing(SpaceTests):\n    pass\n")
    done = run("import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))", "-p", "no:cacheprovider", str(tests))
    assert done.returncode != 0
    assert "names nothing to test: no space" in done.stdout + done.stderr
