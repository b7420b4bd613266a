"""Random search's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, limited


@dataclass(frozen=True)
class RandomSettings(MethodSettings):
    """Settings of random search.

    Args:
        trials: configurations drawn for each budget; with more than one, each is trained and the best is taken.
    """

    trials: int = limited(1, at_least(1))
