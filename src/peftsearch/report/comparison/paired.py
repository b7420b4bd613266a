"""Compare two methods on runs that share task, split and seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from peftsearch.report.interval import half_width

# Differences below this are ties: two shares of a test split are equal or much further apart.
_TIE = 1e-9


@dataclass(frozen=True)
class Paired:
    """One method against another over pairs of runs.

    Args:
        wins: pairs in which the first scores better.
        ties: pairs with equal scores.
        losses: the others.
        difference: by how much the first is better on the mean.
        margin: half of the 95% confidence interval of that mean; None for fewer than 2 pairs.
        p: two-sided, of a paired t-test; None for fewer than 2 pairs or where all differences are equal.
    """

    wins: int
    ties: int
    losses: int
    difference: float
    margin: float | None
    p: float | None

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.wins + self.ties + self.losses


def compare_pairs(own: Mapping[object, float], other: Mapping[object, float]) -> Paired | None:
    """Compare scores where both methods have one.

    Args:
        own: (task, seed) -> score of the method, of which the larger is better.
        other: the same of the reference.

    Returns:
        None if there is no pair.
    """
    keys = [key for key in own if key in other]
    if not keys:
        return None
    differences = [own[key] - other[key] for key in keys]
    return Paired(
        wins=sum(d > _TIE for d in differences),
        ties=sum(abs(d) <= _TIE for d in differences),
        losses=sum(d < -_TIE for d in differences),
        difference=fmean(differences),
        margin=half_width(differences) if len(differences) > 1 else None,
        p=_p_value([own[key] for key in keys], [other[key] for key in keys], differences),
    )


def _p_value(own: list[float], other: list[float], differences: list[float]) -> float | None:
    if len(differences) < 2 or max(differences) - min(differences) <= _TIE:
        return None
    from scipy.stats import ttest_rel

    return float(ttest_rel(own, other).pvalue)
