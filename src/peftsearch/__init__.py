"""peftsearch: find which PEFT modules to place where, at which rank, within a hard budget of parameters."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from peftsearch.registration import register_with_peft

__version__ = version("peftsearch")
__all__ = ["compare", "evaluate", "export", "load", "plan", "search", "train"]

register_with_peft()


def __getattr__(name: str) -> Any:
    """The functions of the Python interface, imported when they are first used."""
    if name in __all__:
        return getattr(import_module("peftsearch.app.api"), name)
    raise AttributeError(f"module 'peftsearch' has no attribute '{name}'")
