"""Verdict on a search: one sentence on whether it paid off, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from peftsearch.report.interval import half_width
from peftsearch.report.result_parts import SeedScores, UniformBaseline
from peftsearch.report.results import Results
from peftsearch.report.wording import in_words, unit_of_gains
from peftsearch.tasks.metric_registry import METRICS


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
    """Compare the test scores of `results.json` with those of manual methods, seed by seed.

    A gain is one over uniform LoRA and over the strongest of the other manual methods that were trained. The text
    names the search's cost unless `search_cost` is None, and beside a gain over uniform LoRA, where a ladder measured
    larger sizes of it, the smallest one that scores as much.
    """
    uniform, other = _against_uniform(results), _against_strongest_other(results)
    sentences = [uniform.sentence]
    if uniform.payoff != Payoff.NO_GAIN:
        sentences += _size_for_that_score(results)
    if other is None:
        return Verdict(uniform.payoff, " ".join(sentences))
    payoff = Payoff.NO_GAIN if other.payoff == Payoff.NO_GAIN else uniform.payoff
    return Verdict(payoff, " ".join([*sentences, other.sentence]))


def _against_uniform(results: Results) -> Verdict:
    if results.space is None:
        return Verdict(Payoff.OPEN, f"Nothing was searched: {results.method} scores {_own(results)}.")
    if results.baseline is None:
        return Verdict(
            Payoff.OPEN,
            f"Open: the search's configuration scores {_own(results)}, but uniform LoRA was not trained beside it.",
        )
    differences = gains(results.test, results.baseline.test)
    gain, cost = _rounded(differences, results.test), _cost(results.search_cost)
    amount = f"{gain_text(results.test, results.baseline.test)} {unit_of_gains(results.metric, 'test')}"
    if len(differences) == 1:
        return _of_one_seed(gain, amount, cost)
    if abs(fmean(differences)) <= half_width(differences) or gain == 0:
        said = f"No gain beyond noise: the search scored {amount} against uniform LoRA"
        return Verdict(Payoff.NO_GAIN, f"{said} at the same budget{cost}.")
    if gain < 0:
        said = f"No gain: the search lost {amount.removeprefix('-')} to uniform LoRA"
        return Verdict(Payoff.NO_GAIN, f"{said} at the same budget{cost}.")
    return Verdict(Payoff.GAIN, f"The search gained {amount} over uniform LoRA at the same budget{cost}.")


def _of_one_seed(gain: float, amount: str, cost: str) -> Verdict:
    hint = "but one seed cannot tell that from noise (--seeds 3 or more can)"
    if gain > 0:
        said = f"Open: the search scored {amount} against uniform LoRA at the same budget{cost}, {hint}."
        return Verdict(Payoff.OPEN, said)
    amount = f"scored {amount} against" if gain else "scored the same as"
    return Verdict(Payoff.NO_GAIN, f"No gain: the search {amount} uniform LoRA at the same budget{cost}, {hint}.")


def _against_strongest_other(results: Results) -> Verdict | None:
    """Compare with the manual method beside uniform LoRA that scores best on validation; None without any."""
    if not results.baselines:
        return None
    selects = METRICS[results.selection_metric]
    other = max(results.baselines, key=lambda found: selects.merit(found.validation.all[selects.name]))
    number = len(results.baselines)
    which = f", the strongest of {number} on validation," if number > 1 else ""
    amount = gain_text(results.test, other.test)
    unit = f" {unit_of_gains(results.metric, 'test')}" if METRICS[results.metric].lower_is_better else " points"
    said = f"Against the hand recipe {other.name}{which} the search scored {amount}{unit}"
    if _is_no_gain(gains(results.test, other.test), results.test):
        return Verdict(Payoff.NO_GAIN, f"{said}: no gain.")
    return Verdict(Payoff.GAIN if len(results.test.per_seed) > 1 else Payoff.OPEN, f"{said}.")


def _is_no_gain(differences: Sequence[float], own: SeedScores) -> bool:
    is_noise = len(differences) > 1 and fmean(differences) <= half_width(differences)
    return _rounded(differences, own) <= 0 or is_noise


def _rounded(differences: Sequence[float], own: SeedScores) -> float:
    """The mean difference, rounded as the scores are written."""
    return round(fmean(differences), METRICS[own.metric].decimals(own.value)) + 0.0


def _size_for_that_score(results: Results) -> list[str]:
    """Say how many parameters uniform LoRA needs; empty where no larger size was measured or needed."""
    larger, metric = [step.baseline for step in results.ladder[1:] if step.baseline], METRICS[results.metric]

    def reaches(found: UniformBaseline) -> bool:
        return not metric.is_better(results.test.value, than=found.test.value)

    if not larger or (results.baseline and reaches(results.baseline)):
        return []
    enough = [found.parameters for found in larger if reaches(found)]
    if not enough:
        largest = max(found.parameters for found in larger)
        return [f"No measured size of uniform LoRA, up to {largest:,} parameters, reaches that score."]
    times = min(enough) / results.parameters
    said = f"Of the measured sizes, uniform LoRA needs {min(enough):,} parameters for that score"
    return [f"{said}, {times:.1f} times as many."]


def gains(own: SeedScores, other: SeedScores) -> list[float]:
    """By how much the scores of a configuration are better than those of another, a number for each seed."""
    metric = METRICS[own.metric]
    return [metric.gain(ours, over=theirs) for ours, theirs in zip(own.per_seed, other.per_seed)]


def gain_text(own: SeedScores, other: SeedScores) -> str:
    """The mean gain of a configuration over another; with several seeds, with half of its 95% confidence interval."""
    differences, decimals = gains(own, other), METRICS[own.metric].decimals(own.value)
    margin = f" ± {half_width(differences):.{decimals}f}" if len(differences) > 1 else ""
    return f"{_rounded(differences, own):+.{decimals}f}{margin}"


def _own(results: Results) -> str:
    parameters = f"{results.parameters:,} parameters"
    return f"{results.test.mean_text} test {in_words(results.metric)} with {parameters}"


def _cost(cost: float | None) -> str:
    if cost is None:
        return ""
    return f", at {cost:.2f} of a training run" if cost < 1 else f", at {cost:.1f} training runs"
