"""The one-standard-error rule: the smallest step of a ladder that the best one does not clearly beat."""

from collections.abc import Sequence

from peftsearch.report.result_parts import LadderChoice, LadderStep, SeedScores
from peftsearch.report.results import Results
from peftsearch.report.wording import in_words, write_score
from peftsearch.tasks.metric_registry import METRICS

# Metrics that are the share of examples that were answered rightly.
_SHARES = ("accuracy", "exact_match")


def choose_step(ladder: Sequence[LadderStep], *, num_examples: int) -> LadderChoice | None:
    """Choose the smallest step whose validation score is within one standard error of the best step's.

    Of steps with equal scores, the one with fewer parameters is the best.

    Args:
        ladder: its steps; those that were not trained are left out.
        num_examples: of the validation split.

    Returns:
        the choice; None for fewer than two trained steps, or where the best score has no standard error.

    Source:
        Breiman et al. 1984, *Classification and Regression Trees*, section 3.4.3.
    """
    scored = sorted(
        ((step.parameters, step.budget, step.validation) for step in ladder if step.validation),
        key=lambda step: step[:2],
    )
    if len(scored) < 2:
        return None
    metric = METRICS[scored[0][2].metric]
    _, best_budget, best = max(scored, key=lambda step: metric.merit(step[2].value))
    error = standard_error(best, num_examples=num_examples)
    if error is None:
        return None
    chosen = next(budget for _, budget, score in scored if metric.gain(best.value, over=score.value) <= error)
    return LadderChoice(chosen, best_budget, error)


def standard_error(score: SeedScores, *, num_examples: int) -> float | None:
    """Standard error of a mean score, in the score's unit.

    With several seeds it is that of the mean over them. With one seed it is that of a proportion p of n examples,
    sqrt(p (1 - p) / n), which only shares of right answers have.

    Args:
        score: of one training, or of several that differ in their seed.
        num_examples: that each training was scored on.

    Returns:
        the error; None for one seed of another metric.
    """
    if score.std is not None:
        return score.std / len(score.per_seed) ** 0.5
    if score.metric not in _SHARES or num_examples < 1:
        return None
    share = score.value / 100
    return 100 * (share * (1 - share) / num_examples) ** 0.5


def describe_choice(results: Results) -> str:
    """The chosen step of a ladder in a sentence, or why none is chosen; empty without a ladder that was trained."""
    steps = {step.budget: step for step in results.ladder if step.validation}
    choice, metric = results.ladder_choice, in_words(results.metric)
    if len(steps) < 2:
        return ""
    if choice is None:
        return f"No step of the ladder is chosen: {metric} of one seed has no standard error (--seeds 3 or more has)."
    step, best = steps[choice.budget], steps[choice.best_budget]
    what = f"{step.parameters:,} parameters and is in {step.folder}/"
    if step == best:
        if step.parameters == min(each.parameters for each in steps.values()):
            return f"The smallest step of the ladder is the best on validation; it has {what}."
        return (
            f"No smaller step of the ladder is within one standard error of the best on validation, which has {what}."
        )
    error = write_score(results.metric, choice.standard_error)
    points = "" if METRICS[results.metric].lower_is_better else "points of "
    return (
        f"The smallest step of the ladder within one standard error ({error} {points}validation {metric}) of the best,"
        f" that of {best.parameters:,} parameters, has {what}."
    )
