"""Gradient pursuit's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, limited


@dataclass(frozen=True)
class PursuitSettings(MethodSettings):
    """Settings of gradient pursuit.

    Args:
        examples: training examples of each of the two passes whose mean gradients score the units; 0 for half of all,
            as where there are fewer than two passes take.
        stages: times that units are scored and added, with a short training in between. A ladder has a stage for each
            of its budgets at least.
        between: optimizer steps of each of these short trainings.
        sketch: directions that are looked for in each linear map, at least as many as may be added in one stage.
        most_directions: directions that one map can get in a stage; 0 for no limit but `sketch`.

    Example:
        search(model="demo", task="demo", budget="0.1%", method={"name": "pursuit", "stages": 4})
    """

    examples: int = limited(256, at_least(0))
    stages: int = limited(1, at_least(1))
    between: int = limited(20, at_least(1))
    sketch: int = limited(16, at_least(1))
    most_directions: int = limited(0, at_least(0))

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Every rank up to the space's largest, since directions are added one by one."""
        return tuple(range(1, ranks[-1] + 1))
