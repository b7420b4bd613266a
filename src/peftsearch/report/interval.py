"""The confidence interval of a mean."""

from collections.abc import Sequence
from statistics import stdev


def half_width(differences: Sequence[float]) -> float:
    """Half of the 95% confidence interval of a mean by Student's t; there are two or more differences."""
    from scipy.stats import t

    count = len(differences)
    return float(t.ppf(0.975, count - 1)) * stdev(differences) / count**0.5
