"""The race's settings."""

from dataclasses import dataclass

from peftsearch.errors import UnknownNameError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.names import split_names
from peftsearch.searches.method import METHODS, Driver, MethodSettings
from peftsearch.settings import at_least, limited, require

# How a search works whose result can take part: by one short training, or by none.
PROPOSING = (Driver.GROWTH, Driver.GATES)


@dataclass(frozen=True)
class RaceSettings(MethodSettings):
    """Settings of the race.

    Args:
        searches: comma-separated searching methods whose results take part, each with its default settings.
        recipes: comma-separated manual methods that take part, the most wanted first.
        draws: random configurations that take part.
        candidates: comma-separated files of configurations, and run folders, such as those of earlier tasks of the
            same model, whose configurations take part before all others.
        rates: learning rates at most, each twice the next lower one: all start at the one that suits most; the best is
            tried at higher ones while that helps, otherwise at lower ones, and the next best at the rate that was
            found. Of `learning_rate_grid` all may be tried.
        cost: optimizer steps of all lanes over those of one training, the winner's whole training included. Lanes are
            left out from the end until it holds, and then rates.

    Example:
        search(model="demo", task="demo", budget="0.1%", method={"name": "race", "draws": 4})
    """

    searches: str = "pursuit,bipeft"
    recipes: str = ""
    draws: int = limited(0, at_least(0))
    candidates: str = ""
    rates: int = limited(4, at_least(1))
    cost: float = limited(2.375, at_least(1))

    def __post_init__(self) -> None:
        """Check the names of searches and recipes.

        Raises:
            UnknownNameError: for a search that cannot take part, or a recipe that is no manual method.
            SettingError: if nothing takes part.
        """
        super().__post_init__()
        can_take_part = [name for name in METHODS if METHODS[name].driver in PROPOSING]
        for what, names, known in (
            ("search", self.search_names, can_take_part),
            ("recipe", self.recipe_names, list(MANUAL_METHODS)),
        ):
            for name in names:
                if name not in known:
                    raise UnknownNameError(what, name, known)
        takes_part = self.search_names or self.recipe_names or split_names(self.candidates) or self.draws
        require(
            bool(takes_part), "method.searches", self.searches, "a search, or a recipe, draw or candidate beside it"
        )

    @property
    def search_names(self) -> list[str]:
        """The searching methods whose results take part, in order."""
        return split_names(self.searches)

    @property
    def recipe_names(self) -> list[str]:
        """The manual methods that take part, in order."""
        return split_names(self.recipes)

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Every rank up to the space's largest, as pursuit needs them."""
        return PursuitSettings().candidate_ranks(ranks)
