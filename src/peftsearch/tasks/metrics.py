"""Metrics, all in percent (perfect is 100)."""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from peftsearch.errors import DataError


@dataclass(frozen=True)
class Outcome:
    """Predictions beside what they should be.

    Args:
        predictions: class indices (-1 for an invalid one), numbers or texts.
        targets: class indices, numbers, or tuples of gold answers.
        groups: of every example, for metrics by group; else empty.
        num_classes: of a classification; else 0.
    """

    predictions: Sequence
    targets: Sequence
    groups: Sequence[str] = ()
    num_classes: int = 0


def accuracy(predictions: Sequence, targets: Sequence) -> float:
    """Share of right predictions."""
    return 100 * sum(a == b for a, b in zip(predictions, targets, strict=True)) / len(targets)


def f1(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """F1 of class 1 of two classes; an invalid prediction counts as the wrong class."""
    from sklearn.metrics import f1_score

    valid = [p if p in (0, 1) else 1 - t for p, t in zip(predictions, targets, strict=True)]
    return 100 * float(f1_score(targets, valid, zero_division=0.0))


def macro_f1(predictions: Sequence[int], targets: Sequence[int], num_classes: int) -> float:
    """Mean F1 over all classes; a class that is neither there nor predicted counts as 1, as in the reference code."""
    from sklearn.metrics import f1_score

    classes = list(range(num_classes))
    return 100 * float(f1_score(targets, predictions, labels=classes, average="macro", zero_division=1.0))


def matthews_correlation(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """Matthews correlation; 0 if only one class is predicted."""
    from sklearn.metrics import matthews_corrcoef

    return 100 * float(matthews_corrcoef(targets, predictions))


def pearson(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Pearson correlation; 0 where it is undefined, as for constant predictions."""
    from scipy.stats import pearsonr

    return (
        0.0 if _is_constant(predictions) or _is_constant(targets) else 100 * float(pearsonr(predictions, targets)[0])
    )


def spearman(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Spearman rank correlation; 0 where it is undefined."""
    from scipy.stats import spearmanr

    return (
        0.0 if _is_constant(predictions) or _is_constant(targets) else 100 * float(spearmanr(predictions, targets)[0])
    )


def group_exact_match(predictions: Sequence, targets: Sequence, groups: Sequence[str]) -> float:
    """Share of groups whose every member is right."""
    right: dict[str, bool] = defaultdict(lambda: True)
    for prediction, target, group in zip(predictions, targets, groups, strict=True):
        right[group] = right[group] and prediction == target
    return 100 * sum(right.values()) / len(right)


def normalise_answer(text: str) -> str:
    """Lower-case, and drop punctuation, articles and repeated spaces.

    Source: the evaluation script of SQuAD v1.1.
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Share of predictions that equal one of their gold answers after normalisation."""
    right = [
        any(normalise_answer(p) == normalise_answer(answer) for answer in gold)
        for p, gold in zip(predictions, answers, strict=True)
    ]
    return 100 * sum(right) / len(right)


def token_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Mean F1 of common tokens, the largest over the gold answers, after normalisation."""
    scores = [max(_token_f1(p, answer) for answer in gold) for p, gold in zip(predictions, answers, strict=True)]
    return 100 * sum(scores) / len(scores)


def _token_f1(prediction: str, answer: str) -> float:
    found, gold = normalise_answer(prediction).split(), normalise_answer(answer).split()
    common = sum((Counter(found) & Counter(gold)).values())
    if not found or not gold:
        return float(found == gold)
    return 2 * common / (len(found) + len(gold))


def _is_constant(values: Sequence[float]) -> bool:
    return all(value == values[0] for value in values)


METRICS: Mapping[str, Callable[[Outcome], float]] = {
    "accuracy": lambda outcome: accuracy(outcome.predictions, outcome.targets),
    "f1": lambda outcome: f1(outcome.predictions, outcome.targets),
    "macro_f1": lambda outcome: macro_f1(outcome.predictions, outcome.targets, outcome.num_classes),
    "matthews_correlation": lambda outcome: matthews_correlation(outcome.predictions, outcome.targets),
    "pearson": lambda outcome: pearson(outcome.predictions, outcome.targets),
    "spearman": lambda outcome: spearman(outcome.predictions, outcome.targets),
    "question_exact_match": lambda outcome: group_exact_match(outcome.predictions, outcome.targets, outcome.groups),
    "exact_match": lambda outcome: exact_match(outcome.predictions, outcome.targets),
    "token_f1": lambda outcome: token_f1(outcome.predictions, outcome.targets),
}


def measure(names: Sequence[str], outcome: Outcome) -> dict[str, float]:
    """Return each named metric.

    Raises:
        DataError: without examples, or when the predictions don't match them in number.
    """
    if not outcome.targets or len(outcome.predictions) != len(outcome.targets):
        raise DataError(
            f"{len(outcome.predictions)} predictions for {len(outcome.targets)} targets can't be scored. Give one "
            "prediction for each row of the encoded examples, in their order, and at least one."
        )
    return {name: METRICS[name](outcome) for name in names}
