"""Benchmark scripts name what the package has: nothing else runs them."""

import ast
import importlib
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__, "..", "..", "benchmarks").resolve().glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_what_a_benchmark_imports_exists(script):
    found = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in found if node.module and node.module.startswith("peftsearch")]
    missing = [
        f"{node.module}.{alias.name}"
        for node in ours
        for alias in node.names
        if not hasattr(importlib.import_module(str(node.module)), alias.name)
    ]
    assert not missing
