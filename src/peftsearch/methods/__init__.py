"""Search methods and manual methods, one folder each: to list them, and to register one of your own.

Example:
    register_method(MethodEntry("halving", "successive halving", HalvingSettings, Driver.TRIALS, "mine:Halving"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from peftsearch.searches.method import METHODS, Driver, MethodEntry, MethodSettings, register_method
from peftsearch.searches.trials import Fidelity, Problem, Proposal, Proposer, Trial, best_within
from peftsearch.settings import Limit, at_least, between, limited, one_of

if TYPE_CHECKING:
    from peftsearch.searches.gate_strategy import GateStrategy, Observation

__all__ = [
    "METHODS",
    "Driver",
    "Fidelity",
    "GateStrategy",
    "Limit",
    "MethodEntry",
    "MethodSettings",
    "Observation",
    "Problem",
    "Proposal",
    "Proposer",
    "Trial",
    "at_least",
    "best_within",
    "between",
    "limited",
    "one_of",
    "register_method",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first used."""
    if name in __all__:
        return getattr(import_module("peftsearch.searches.gate_strategy"), name)
    raise AttributeError(f"module 'peftsearch.methods' has no attribute '{name}'")
