"""What the pages of docs/ show works as it stands there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from peftsearch.cli.main import main

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[tuple[str, str]]:
    """(title, text) of the fenced blocks of a page in a language."""
    found = FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    return [(title, text) for name, title, text in found if name == language]


def python_of(page: str) -> list[str]:
    """Python blocks that can run alone; the others say in their first line what they need."""
    return [text for _, text in blocks(page, "python") if not text.startswith("# ")]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    """The files that the page on data makes and shows."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (program,) = python_of("data.md")
        exec(compile(program, "data.md", "exec"), {})
    for title, text in blocks("data.md", "csv"):
        (folder / title).write_text(text, encoding="utf-8")
    return folder


CONSOLE = [text.removeprefix("$ peftsearch ").split("\n", 1) for _, text in blocks("data.md", "console")]


def test_the_page_on_data_shows_a_good_run_and_errors():
    assert len(CONSOLE) == 7


@pytest.mark.parametrize("command,shown", CONSOLE, ids=[shown.split(":")[-1][:40].strip() for _, shown in CONSOLE])
def test_commands_of_the_page_on_data_say_what_it_shows(command, shown, data_folder, monkeypatch, capsys):
    monkeypatch.chdir(data_folder)
    code = main(shlex.split(command))
    output = capsys.readouterr()
    assert code == (2 if shown.startswith("peftsearch:") else 0)
    assert shown.strip() in output.out + output.err


def test_files_of_the_page_on_extending_pass_conformance_and_search(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    files = blocks("extend.md", "python")
    assert [Path(title).parent.name for title, _ in files] == ["kinds", "methods", "families", "builtin"]
    for title, text in files:
        assert not (tmp_path / title).exists()
        (tmp_path / title).write_text(text, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "src"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "extended.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_page_on_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for program in python_of("python.md"):
        exec(compile(program, "python.md", "exec"), names)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert names["configuration"].choices
