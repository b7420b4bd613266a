"""Random search's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, limited


@dataclass(frozen=True)
class RandomSettings(MethodSettings):
    """Settings of random search.

    Args:
        trials: configurations drawn for each budget; if there are several, each is trained and the best is taken.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "random", "trials": 3})
    """

    trials: int = limited(1, at_least(1))
