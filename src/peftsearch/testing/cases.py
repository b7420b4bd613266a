"""Parametrisation of the suite's tests over the entries that a test class names."""

from collections.abc import Iterable

import pytest


def parametrise(metafunc: pytest.Metafunc, **values: Iterable[str]) -> None:
    """Run a test once for every value of each argument that it takes.

    Args:
        metafunc: the test, as pytest's hook `pytest_generate_tests` gets it.
        values: argument -> its values.

    Raises:
        UsageError: for a class that names none, of which no test would run.
    """
    for name, found in values.items():
        if name in metafunc.fixturenames:
            cases = list(found)
            if not cases:
                raise pytest.UsageError(f"{metafunc.definition.nodeid} names nothing to test: no {name}.")
            metafunc.parametrize(name, cases)
