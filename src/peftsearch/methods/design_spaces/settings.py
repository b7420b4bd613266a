"""Settings of the greedy search of PEFT design spaces, and the designs that the paper found."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import SHARE, at_least, between, limited

SPACE = "design_spaces"


@dataclass(frozen=True)
class DesignSpacesSettings(MethodSettings):
    """Settings of the greedy search of PEFT design spaces.

    Args:
        population: random configurations of which the mean score stands for a choice; the paper takes 100.
        strategies: random strategies that are compared for each group; 0 compares all 15.
        share: of the training examples, for each trial, above 0 and at most 1.
        epochs: of each trial; 0 for as many as the final training has.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "design_spaces", "population": 1})
    """

    population: int = limited(2, at_least(1))
    strategies: int = limited(0, between(0, 15))
    share: float = limited(0.25, SHARE)
    epochs: float = limited(3.0, at_least(0))


@dataclass(frozen=True)
class ReadyDesignSettings(MethodSettings):
    """No settings: a ready design follows from the budget.

    Example:
        # peftsearch train --model demo --task demo --configuration s4 --budget 0.5%
        train(model="demo", task="demo", budget="0.5%", configuration="s4")
    """
