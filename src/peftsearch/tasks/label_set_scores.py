"""Scores of several labels a text, and the threshold from which a label's probability gives it to a text."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from peftsearch.errors import DataError

# Of a text with so many labels, a 0 or a 1 for each.
LabelRow = Sequence[int]

# Where nothing says more.
UNFITTED = 0.5


def as_rows(sets: Sequence[Sequence[int]], num_labels: int) -> list[list[int]]:
    """Indices of labels as rows with a 0 or a 1 for each label."""
    return [[int(index in own) for index in range(num_labels)] for own in sets]


def give_labels(probabilities: Sequence[Sequence[float]], threshold: float) -> list[list[int]]:
    """Give each text the labels whose probability is at least the threshold, as rows of 0 and 1."""
    return [[int(share >= threshold) for share in row] for row in probabilities]


def choose_threshold(probabilities: Sequence[Sequence[float]], targets: Sequence[LabelRow]) -> float:
    """Choose the threshold with the best micro F1, one for all labels.

    It stands in the middle between the least probability that gives a label and the next smaller one, so that
    rounding changes no prediction; of equally good ones it is the nearest to 1/2.

    Args:
        probabilities: of each label, a row for each text.
        targets: rows of 0 and 1.

    Returns:
        a number in (0, 1); 1/2 where no text has a label.

    Raises:
        DataError: for more or fewer rows.
    """
    if len(probabilities) != len(targets):
        raise DataError(
            f"{len(probabilities)} rows of probabilities for {len(targets)} examples choose no threshold. Give one "
            "for each row of the encoded examples, in their order."
        )
    gold, shares = [flag for row in targets for flag in row], [share for row in probabilities for share in row]
    if not any(gold):
        return UNFITTED
    from sklearn.metrics import precision_recall_curve

    precision, recall, least = (values.tolist() for values in precision_recall_curve(gold, shares))
    scores = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall)][: len(least)]
    below, best = [0.0, *least[:-1]], max(scores)
    middles = [(low + high) / 2 for low, high, score in zip(below, least, scores, strict=True) if score == best]
    return min(middles, key=lambda middle: abs(middle - UNFITTED))


def micro_f1(predictions: Sequence[LabelRow], targets: Sequence[LabelRow]) -> float:
    """F1 of all labels of all texts together; 100 where there are none and none is predicted."""
    return _f1(predictions, targets, average="micro")


def macro_f1(predictions: Sequence[LabelRow], targets: Sequence[LabelRow]) -> float:
    """Mean F1 over the labels; it is 100 for a label that no text has and none is given."""
    return _f1(predictions, targets, average="macro")


def _f1(predictions: Sequence[LabelRow], targets: Sequence[LabelRow], *, average: str) -> float:
    import numpy
    from sklearn import metrics

    score: Callable[..., Any] = metrics.f1_score
    return 100 * float(score(numpy.array(targets), numpy.array(predictions), average=average, zero_division=1.0))


def mean_average_precision(probabilities: Sequence[Sequence[float]], targets: Sequence[LabelRow]) -> float:
    """Mean over the labels of the average precision, which reads the order of the texts by probability alone.

    Labels that no text has are left out of the mean; it is 0 where all are.
    """
    from sklearn.metrics import average_precision_score

    by_label = list(zip(zip(*targets, strict=True), zip(*probabilities, strict=True), strict=True))
    found = [float(average_precision_score(gold, shares)) for gold, shares in by_label if any(gold)]
    return 100 * fmean(found) if found else 0.0
