"""What the pages of docs/ show works as it stands there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from installed_package import install

from peftsearch.cli.main import main
from peftsearch.kinds import KINDS
from peftsearch.testing import TINY, MethodTests

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
    """The files that the pages on data and its formats make and show."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (program,) = python_of("data.md")
        exec(compile(program, "data.md", "exec"), {})
    for title, text in blocks("data.md", "csv") + blocks("formats.md", "json"):
        (folder / title).write_text(text, encoding="utf-8")
    return folder


SHOWN = blocks("data.md", "console") + blocks("formats.md", "console")
CONSOLE = [text.removeprefix("$ peftsearch ").split("\n", 1) for _, text in SHOWN]


def test_the_pages_on_data_show_a_good_run_and_errors():
    assert len(CONSOLE) == 9


@pytest.mark.parametrize("command,shown", CONSOLE, ids=[shown.split(":")[-1][:40].strip() for _, shown in CONSOLE])
def test_commands_of_the_pages_on_data_say_what_they_show(command, shown, data_folder, monkeypatch, capsys):
    monkeypatch.chdir(data_folder)
    code = main(shlex.split(command))
    output = capsys.readouterr()
    assert code == (2 if shown.startswith("peftsearch:") else 0)
    assert shown.strip() in output.out + output.err


@pytest.fixture(scope="module")
def extras(tmp_path_factory):
    """The package of the page on extending, installed, and the environment of a process that has it."""
    folder = tmp_path_factory.mktemp("extras")
    files = dict(blocks("extend.md", "toml") + blocks("extend.md", "python"))
    assert len(files) == 7
    return folder, install(folder, files | {"peftsearch_extras/__init__.py": ""})


def run_python(*arguments: object, env: dict[str, str], folder: Path) -> None:
    """Run Python in a folder and show what it says if it fails."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_package_of_the_page_on_extending_keeps_every_contract(extras):
    folder, env = extras
    run_python(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=ran.xml", "test_extras.py", env=env, folder=folder
    )
    cases = ElementTree.parse(folder / "ran.xml").iter("testcase")
    ran = Counter(case.attrib["classname"].split(".")[-1] for case in cases if case.find("skipped") is None)
    # Tests of a kind alone, one of them at three ranks where it changes a layer's output, and on a model.
    alone, on_model, num_kinds = 8, 3, len(KINDS) + 1
    in_attention = sum(KINDS[kind].acts_in_attention for kind in KINDS)
    assert ran == {
        "TestOutputScale": alone + on_model * len(TINY),
        "TestOpt": (alone + on_model) * num_kinds - 3 * in_attention + 3,
        "TestHalving": 1 + len(MethodTests.families) * len(MethodTests.budgets) + len(MethodTests.spaces) + 1,
        "TestScales": 1 + len(TINY),
        "TestSpam": 5,
    }


@pytest.mark.slow
def test_a_search_uses_all_that_the_package_adds_and_a_new_process_knows_it_too(extras):
    folder, env = extras
    run_python(ROOT / "tests" / "extended.py", folder, env=env, folder=folder)


@pytest.mark.slow
def test_files_of_the_package_can_stand_in_peftsearch_itself(extras, tmp_path):
    """In the folders that the README names."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    homes = {"output_scale": "modules/kinds", "opt": "models/families", "spam": "tasks/builtin", "halving": "methods"}
    names = {"output_scale": "kinds", "opt": "families", "mail/spam": "tasks", "halving": "methods"}
    for name, home in homes.items():
        assert f"`src/peftsearch/{home}/`" in (ROOT / "README.md").read_text(encoding="utf-8")
        shutil.copy(extras[0] / "peftsearch_extras" / f"{name}.py", tmp_path / "src" / "peftsearch" / home)
    listed = "from peftsearch.cli.listing import describe\n"
    listed += "".join(f"assert {name!r} in describe({sort!r})\n" for name, sort in names.items())
    run_python("-c", listed, env=os.environ | {"PYTHONPATH": str(tmp_path / "src")}, folder=tmp_path)


@pytest.mark.slow
def test_the_page_on_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for program in python_of("python.md"):
        exec(compile(program, "python.md", "exec"), names)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert names["configuration"].choices
