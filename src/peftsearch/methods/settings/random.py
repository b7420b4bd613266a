"""Random search's settings."""

from dataclasses import dataclass

from peftsearch.limits import at_least
from peftsearch.methods.settings.entry import METHODS, Driver, MethodEntry, MethodSettings


@dataclass(frozen=True)
class RandomSettings(MethodSettings):
    """Settings of random search.

    Args:
        trials: configurations drawn for each budget; with more than one, each is trained and the best is taken.
    """

    trials: int = 1

    LIMITS = {"trials": at_least(1)}


METHODS.add(
    "random",
    MethodEntry(
        "configurations drawn at random within the budget (APET, Su et al. 2023)",
        RandomSettings,
        Driver.TRIALS,
        "peftsearch.methods.random:RandomSearch",
        codings=("flat", "autopeft", "noah", "design_spaces"),
    ),
)
