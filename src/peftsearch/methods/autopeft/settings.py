"""AutoPEFT's settings."""

from dataclasses import dataclass

from peftsearch.searches.method import MethodSettings
from peftsearch.settings import SHARE, at_least, limited, one_of, require


@dataclass(frozen=True)
class AutopeftSettings(MethodSettings):
    """Settings of AutoPEFT; the defaults are the paper's, but for the surrogate and the batch.

    Args:
        evaluations: configurations that are trained, the initial ones included.
        initial: how many of them are drawn at random before the surrogate proposes; at most `evaluations`.
        batch: configurations proposed at a time; the surrogate is fitted again after each batch.
        surrogate: "map_saas" (an ensemble of posterior modes, seconds) or "nuts" (posterior samples, minutes).
        restarts: local searches over the acquisition function for each proposal.
        share: share of the training examples in each evaluation, above 0 and at most 1.
        epochs: of each evaluation; 0 takes the number of the training.

    Example:
        search(model="demo", task="demo", budget="0.5%", method={"name": "autopeft", "evaluations": 20, "initial": 8})
    """

    evaluations: int = limited(200, at_least(1))
    initial: int = limited(100, at_least(1))
    batch: int = limited(1, at_least(1))
    surrogate: str = limited("map_saas", one_of("map_saas", "nuts"))
    restarts: int = limited(10, at_least(1))
    share: float = limited(1.0, SHARE)
    epochs: float = limited(0.0, at_least(0))

    def __post_init__(self) -> None:
        """Check each limit, and that the initial evaluations are among all of them."""
        super().__post_init__()
        most = f"at most method.evaluations ({self.evaluations})"
        require(self.initial <= self.evaluations, "method.initial", self.initial, most)
