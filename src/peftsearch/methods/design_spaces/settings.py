"""Settings of the greedy search of PEFT design spaces, and the designs that the paper found."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import Limit, at_least, between

SPACE = "design_spaces"


@dataclass(frozen=True)
class DesignSpacesSettings(MethodSettings):
    """Settings of the greedy search of PEFT design spaces.

    Args:
        population: random configurations that stand for a choice; the paper takes 100.
        strategies: random strategies that are compared for each group; 0 compares all 15.
        share: of the training examples, for each trial.
        epochs: of each trial; 0 for as many as the final training has.
    """

    population: int = 2
    strategies: int = 0
    share: float = 0.25
    epochs: float = 3.0

    LIMITS = {
        "population": at_least(1),
        "strategies": between(0, 15),
        "share": Limit(lambda value: 0 < value <= 1, "above 0 and at most 1"),
        "epochs": at_least(0),
    }


@dataclass(frozen=True)
class ReadyDesignSettings(MethodSettings):
    """A design that needs a budget and no settings."""
