"""peftsearch: find which PEFT modules to place where, at which rank, within a hard budget of parameters."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from peftsearch.registration import register_with_peft
from peftsearch.space import Configuration

if TYPE_CHECKING:
    from peftsearch.api.attach import attach
    from peftsearch.api.runs import Result, compare, evaluate, export, load, plan, predict, search, train
    from peftsearch.api.search_trainer import SearchMixin, SearchTrainer

__version__ = version("peftsearch")
__all__ = [
    "Configuration",
    "Result",
    "SearchMixin",
    "SearchTrainer",
    "attach",
    "compare",
    "evaluate",
    "export",
    "load",
    "plan",
    "predict",
    "search",
    "train",
]

register_with_peft()

_ELSEWHERE = {
    "SearchMixin": "peftsearch.api.search_trainer",
    "SearchTrainer": "peftsearch.api.search_trainer",
    "attach": "peftsearch.api.attach",
}


def __getattr__(name: str) -> Any:
    """Import names that need torch when they are first used."""
    if name in __all__:
        return getattr(import_module(_ELSEWHERE.get(name, "peftsearch.api.runs")), name)
    raise AttributeError(f"module 'peftsearch' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
