"""Parametrisation of the suite's tests over the entries that a test class names."""

from collections.abc import Iterable

import pytest


def parametrise(metafunc: pytest.Metafunc, **values: Iterable[str]) -> None:
    """Run a test once for every value of each argument that it takes.

    Args:
        metafunc: the test, as pytest's hook `pytest_generate_tests` gets it.
        values: argument -> its values.

    Raises:
        UsageError: for a class that names none, of which no test would run, or gives text for a list.
    """
    for name, found in values.items():
        if name in metafunc.fixturenames:
            if isinstance(found, str):
                raise pytest.UsageError(f"{name} is {found!r}, but must be a list of names.")
            cases = list(found)
            if not cases:
                raise pytest.UsageError(f"{metafunc.definition.nodeid} names nothing to test: no {name}.")
            metafunc.parametrize(name, cases)
