"""Verdict on a search: one sentence on whether it paid off, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

from peftsearch.report.results import Results, UniformBaseline
from peftsearch.report.wording import in_words


class Payoff(StrEnum):
    """Answer to whether a search paid off; OPEN where the scores cannot tell."""

    GAIN = "gain"
    NO_GAIN = "no gain"
    OPEN = "open"


@dataclass(frozen=True)
class Verdict:
    """The answer and the sentence that gives it."""

    payoff: Payoff
    sentence: str


def verdict(results: Results) -> str:
    """The sentence of `judge`."""
    return judge(results).sentence


def judge(results: Results) -> Verdict:
    """Compare the test scores of `results.json` with those of uniform LoRA, seed by seed.

    The sentence names the search's cost unless `search_cost` is None.
    """
    points = f"points of test {in_words(results.metric)}"
    if results.space is None:
        return Verdict(Payoff.OPEN, f"Nothing was searched: {results.method} scores {_own(results)}.")
    if results.baseline is None:
        return Verdict(
            Payoff.OPEN,
            f"Open: the search's configuration scores {_own(results)}, but uniform LoRA was not trained beside it.",
        )
    differences = gains(results, results.baseline)
    gain, cost = round(fmean(differences), 2) + 0.0, _cost(results.search_cost)
    if len(differences) == 1:
        return _of_one_seed(gain, points, cost)
    margin = half_width(differences)
    if abs(fmean(differences)) <= margin or gain == 0:
        said = f"No gain beyond noise: the search scored {gain:+.2f} ± {margin:.2f} {points} against uniform LoRA"
        return Verdict(Payoff.NO_GAIN, f"{said} at the same budget{cost}.")
    if gain < 0:
        said = f"No gain: the search lost {-gain:.2f} ± {margin:.2f} {points} to uniform LoRA"
        return Verdict(Payoff.NO_GAIN, f"{said} at the same budget{cost}.")
    said = f"The search gained {gain:+.2f} ± {margin:.2f} {points} over uniform LoRA"
    return Verdict(Payoff.GAIN, f"{said} at the same budget{cost}.")


def _of_one_seed(gain: float, points: str, cost: str) -> Verdict:
    hint = "but one seed cannot tell that from noise (--seeds 3 or more can)"
    if gain > 0:
        said = f"Open: the search scored {gain:+.2f} {points} against uniform LoRA at the same budget{cost}, {hint}."
        return Verdict(Payoff.OPEN, said)
    amount = f"scored {gain:+.2f} {points} against" if gain else "scored the same as"
    return Verdict(Payoff.NO_GAIN, f"No gain: the search {amount} uniform LoRA at the same budget{cost}, {hint}.")


def gains(results: Results, baseline: UniformBaseline) -> list[float]:
    """Test score of the search less that of uniform LoRA, a number for each seed."""
    return [own - other for own, other in zip(results.test.per_seed, baseline.test.per_seed)]


def half_width(differences: Sequence[float]) -> float:
    """Half of the 95% confidence interval of a mean by Student's t; there are two or more differences."""
    from scipy.stats import t

    count = len(differences)
    return float(t.ppf(0.975, count - 1)) * stdev(differences) / count**0.5


def _own(results: Results) -> str:
    parameters = f"{results.parameters:,} parameters"
    return f"{results.test.value:.2f} test {in_words(results.metric)} with {parameters}"


def _cost(cost: float | None) -> str:
    if cost is None:
        return ""
    return f", at {cost:.2f} of a training run" if cost < 1 else f", at {cost:.1f} training runs"
