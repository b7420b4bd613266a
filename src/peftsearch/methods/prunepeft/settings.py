"""PrunePEFT's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import at_least, limited, one_of


@dataclass(frozen=True)
class PrunePeftSettings(MethodSettings):
    """Settings of PrunePEFT.

    Args:
        structure: the unit of pruning: "component", one rank of a ranked module or a whole vector, or "module".
        score: "signed_sum", the rise of the loss without the unit, in which steps and weights of opposite sign cancel,
            or "absolute_sum".
        initial_scale: standard deviation of the random start of ranked factors that otherwise start at 0. Above 0 the
            search does not start at the pretrained model.
        epochs: passes over the training set; 0 takes the number of the training.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "prunepeft", "score": "absolute_sum"})
    """

    structure: str = limited("component", one_of("component", "module"))
    score: str = limited("signed_sum", one_of("signed_sum", "absolute_sum"))
    initial_scale: float = limited(0.0, at_least(0))
    epochs: float = limited(0.0, at_least(0))

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Return every rank up to the space's largest, or the largest alone where whole modules are pruned."""
        largest = max(ranks)
        return {"component": tuple(range(1, largest + 1)), "module": (largest,)}[self.structure]
