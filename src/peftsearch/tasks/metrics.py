"""Metrics, all in percent: 100 is perfect."""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.errors import DataError


@dataclass(frozen=True)
class MetricInputs:
    """Everything that a metric may read.

    Args:
        predictions: class indices (-1 for an invalid prediction), numbers or texts.
        targets: class indices, numbers, or tuples of gold answers, one for each prediction.
        groups: name of each example's group, for metrics over groups; empty for none.
        num_classes: number of classes; 0 where none are predicted.
    """

    predictions: Sequence
    targets: Sequence
    groups: Sequence[str] = ()
    num_classes: int = 0


def accuracy(predictions: Sequence, targets: Sequence) -> float:
    """Share of correct predictions."""
    return 100 * sum(a == b for a, b in zip(predictions, targets, strict=True)) / len(targets)


def f1(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """F1 of class 1 of two classes; an invalid prediction counts as the wrong class."""
    valid = [p if p in (0, 1) else 1 - t for p, t in zip(predictions, targets, strict=True)]
    return _f1_score(targets, valid, zero_division=0.0)


def macro_f1(predictions: Sequence[int], targets: Sequence[int], num_classes: int) -> float:
    """Mean F1 over all classes; it is 1 for a class without targets and predictions, as in the reference code."""
    classes = list(range(num_classes))
    return _f1_score(targets, predictions, labels=classes, average="macro", zero_division=1.0)


def _f1_score(targets: Sequence[int], predictions: Sequence[int], **options: Any) -> float:
    from sklearn.metrics import f1_score

    return 100 * float(f1_score(targets, predictions, **options))


def matthews_correlation(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """Matthews correlation; 0 where it is undefined, as for predictions of one class only."""
    from sklearn.metrics import matthews_corrcoef

    return 100 * float(matthews_corrcoef(targets, predictions))


def pearson(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Pearson correlation; 0 where it is undefined, as for constant predictions."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predictions, targets)


def spearman(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Spearman rank correlation; 0 where it is undefined."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predictions, targets)


def _correlation(function: Callable[..., Any], predictions: Sequence[float], targets: Sequence[float]) -> float:
    is_undefined = _is_constant(predictions) or _is_constant(targets)
    return 0.0 if is_undefined else 100 * float(function(predictions, targets)[0])


def group_exact_match(predictions: Sequence, targets: Sequence, groups: Sequence[str]) -> float:
    """Share of the groups in which every prediction is correct."""
    right: dict[str, bool] = defaultdict(lambda: True)
    for prediction, target, group in zip(predictions, targets, groups, strict=True):
        right[group] = right[group] and prediction == target
    return 100 * sum(right.values()) / len(right)


def normalise_answer(text: str) -> str:
    """Convert to lower case, and remove punctuation, articles and repeated spaces.

    Source: the evaluation script of SQuAD v1.1.
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Share of the predictions that equal one of their gold answers after normalisation."""
    right = [
        any(normalise_answer(p) == normalise_answer(answer) for answer in gold)
        for p, gold in zip(predictions, answers, strict=True)
    ]
    return 100 * sum(right) / len(right)


def token_f1(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> float:
    """Mean over the predictions of the largest token F1 with one of their gold answers, after normalisation."""
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


METRICS: Mapping[str, Callable[[MetricInputs], float]] = {
    "accuracy": lambda inputs: accuracy(inputs.predictions, inputs.targets),
    "f1": lambda inputs: f1(inputs.predictions, inputs.targets),
    "macro_f1": lambda inputs: macro_f1(inputs.predictions, inputs.targets, inputs.num_classes),
    "matthews_correlation": lambda inputs: matthews_correlation(inputs.predictions, inputs.targets),
    "pearson": lambda inputs: pearson(inputs.predictions, inputs.targets),
    "spearman": lambda inputs: spearman(inputs.predictions, inputs.targets),
    "question_exact_match": lambda inputs: group_exact_match(inputs.predictions, inputs.targets, inputs.groups),
    "exact_match": lambda inputs: exact_match(inputs.predictions, inputs.targets),
    "token_f1": lambda inputs: token_f1(inputs.predictions, inputs.targets),
}


def measure(names: Sequence[str], inputs: MetricInputs) -> dict[str, float]:
    """Compute metrics.

    Args:
        names: of `METRICS`.
        inputs: what they read.

    Returns:
        name -> value in percent.

    Raises:
        DataError: without examples, or if there are more or fewer predictions than targets.
    """
    if not inputs.targets or len(inputs.predictions) != len(inputs.targets):
        raise DataError(
            f"{len(inputs.predictions)} predictions for {len(inputs.targets)} targets can't be scored. Give one "
            "prediction for each row of the encoded examples, in their order, and at least one."
        )
    return {name: METRICS[name](inputs) for name in names}
