"""AutoPEFT's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import SHARE, at_least, one_of, require


@dataclass(frozen=True)
class AutopeftSettings(MethodSettings):
    """Settings of AutoPEFT; the defaults are the paper's, but for the surrogate and the batch.

    Args:
        evaluations: configurations that are trained in all.
        initial: how many of them are drawn at random before the surrogate proposes; at most `evaluations`.
        batch: configurations proposed at a time; the surrogate is fitted anew after each batch.
        surrogate: "map_saas" (an ensemble of posterior modes, seconds) or "nuts" (posterior samples, minutes).
        restarts: local searches over the acquisition function for each proposal.
        share: of the training examples that each evaluation sees, above 0 and at most 1.
        epochs: of each evaluation; 0 takes the number of the training.
    """

    evaluations: int = 200
    initial: int = 100
    batch: int = 1
    surrogate: str = "map_saas"
    restarts: int = 10
    share: float = 1.0
    epochs: float = 0.0

    LIMITS = {
        "evaluations": at_least(1),
        "initial": at_least(1),
        "batch": at_least(1),
        "surrogate": one_of("map_saas", "nuts"),
        "restarts": at_least(1),
        "share": SHARE,
        "epochs": at_least(0),
    }

    def __post_init__(self) -> None:
        most = f"at most method.evaluations ({self.evaluations})"
        require(self.initial <= self.evaluations, "method.initial", self.initial, most)
