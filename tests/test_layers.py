"""Imports point one way, and what must be light is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "peftsearch"
# Each layer may import those to its left and its own.
LAYERS = [
    {"errors"},
    {"registry", "files", "mirror", "environment", "messages", "console", "hub_id", "names", "task_head"},
    {"launcher"},
    {"processes"},
    {"settings", "mirror_upkeep", "random_draws"},
    {"space"},
    {"modules", "spaces"},
    {"models", "tasks", "kinds"},
    {"supernet", "exports", "families"},
    {"training"},
    {"searches"},
    {"methods"},
    {"report"},
    {"run"},
    {"comparison"},
    {"api", "cli"},
    {"testing"},
]
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
# Settings are plain data that higher layers share.
LIGHT = ("peftsearch.training.settings", "peftsearch.searches.method")


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name for name in names if name.startswith("peftsearch.") and not name.startswith(LIGHT)}


FILES = [p for p in sorted(SOURCE.rglob("*.py")) if p.relative_to(SOURCE).parts[0].removesuffix(".py") in LEVEL]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down_the_layers(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imported_modules(path):
        other = name.split(".")[1]
        assert other == own or LEVEL[other] < LEVEL[own], f"{path.name} imports {name}"


def test_the_space_needs_the_standard_library_only():
    for path in (SOURCE / "space").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert all(n.split(".")[0] in sys.stdlib_module_names | {"peftsearch"} for n in names)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["search", "--help"],
        ["train", "--help"],
        ["plan", "--help"],
        ["compare", "--help"],
        ["--version"],
        [],
    ],
)
def test_help_does_not_import_torch(arguments):
    code = f"import sys; from peftsearch.cli.main import main\ntry: main({arguments!r})\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules, 'heavy'"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout or arguments == ["--version"]


# The first has Python import what the others find imported: all but the two packages.
ORDERS = """
import sys

for order in (
    "import peftsearch, importlib.util as u; u.find_spec('peft'); import transformers, peft",
    "import peftsearch, peft",
    "import peft, peftsearch",
):
    for name in [name for name in sys.modules if name.split(".")[0] in ("peft", "peftsearch")]:
        del sys.modules[name]
    assert not any("peftsearch" in type(finder).__module__ for finder in sys.meta_path), "a finder was left"
    exec(order)
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    assert "PEFTSEARCH" in PEFT_TYPE_TO_CONFIG_MAPPING, order
"""


def test_peft_knows_the_tuner_whichever_is_imported_first():
    subprocess.run([sys.executable, "-c", ORDERS], check=True)
