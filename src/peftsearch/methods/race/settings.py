"""The race's settings."""

from dataclasses import dataclass

from peftsearch.errors import UnknownNameError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, limited


@dataclass(frozen=True)
class RaceSettings(MethodSettings):
    """Settings of the race.

    Args:
        recipes: comma-separated manual methods that take part, the most wanted first.
        draws: random configurations that take part.
        pursuit: whether what pursuit finds takes part: in the whole space, and in its LoRA modules alone.
        candidates: comma-separated files of configurations, and run folders, such as those of earlier tasks of the
            same model, whose configurations take part before all others.
        rates: learning rates: all start at the one that suits most, and the best also at the next ones.
        cost: optimizer steps of all lanes over those of one training, the winner's whole training included. Lanes are
            left out from the end until it holds.

    Example:
        search(model="demo", task="demo", budget="0.1%", method={"name": "race", "draws": 4})
    """

    recipes: str = "uniform_lora,lnfit_lora,lnfit,bitfit,lnfit_lora_vo,lora_qv,lora_all,lora_top"
    draws: int = limited(2, at_least(0))
    pursuit: bool = True
    candidates: str = ""
    rates: int = limited(2, at_least(1))
    cost: float = limited(2.5, at_least(1))

    def __post_init__(self) -> None:
        """Check the names of the recipes.

        Raises:
            UnknownNameError: for one that is no manual method.
        """
        super().__post_init__()
        for name in self.recipe_names:
            if name not in MANUAL_METHODS:
                raise UnknownNameError("recipe", name, MANUAL_METHODS)

    @property
    def recipe_names(self) -> list[str]:
        """The manual methods that take part, in order."""
        return [name.strip() for name in self.recipes.split(",") if name.strip()]

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Every rank up to the space's largest, as pursuit needs them."""
        return PursuitSettings().candidate_ranks(ranks)
