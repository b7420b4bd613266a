"""What metrics compute: in percent, of which 100 is perfect, or an error in the unit of the labels."""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class MetricInputs:
    """Everything that a metric may read.

    Args:
        predictions: class indices (-1 for an invalid prediction), numbers, texts, lists of tags, or rows with a 0 or a
            1 for each of several labels.
        targets: class indices, numbers, tuples of gold answers, lists of tags, or such rows, one for each prediction.
        groups: name of each example's group, for metrics over groups; empty for none.
        num_classes: number of classes; 0 where none are predicted.
        probabilities: of every class or label, a row for each prediction; empty where none are predicted.
    """

    predictions: Sequence
    targets: Sequence
    groups: Sequence[str] = ()
    num_classes: int = 0
    probabilities: Sequence[Sequence[float]] = ()

    @classmethod
    def of_classes(
        cls, probabilities: Sequence[Sequence[float]], targets: Sequence[int], groups: Sequence[str] = ()
    ) -> "MetricInputs":
        """Take the likeliest class of each row, the first of equals, as its prediction."""
        predictions = [max(range(len(row)), key=row.__getitem__) for row in probabilities]
        return cls(predictions, targets, groups, len(probabilities[0]) if probabilities else 0, probabilities)


def accuracy(predictions: Sequence, targets: Sequence) -> float:
    """Share of correct predictions."""
    return 100 * sum(a == b for a, b in zip(predictions, targets, strict=True)) / len(targets)


def f1(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """F1 of class 1 of two classes; an invalid prediction counts as the wrong class."""
    valid = [p if p in (0, 1) else 1 - t for p, t in zip(predictions, targets, strict=True)]
    return _f1_score(targets, valid, zero_division=0.0)


def macro_f1(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """Mean F1 over the classes that occur among predictions and targets, as scikit-learn's; 0 for one never found."""
    classes = sorted({*targets, *predictions} - {-1})
    return _f1_score(targets, predictions, labels=classes, average="macro", zero_division=0.0)


def balanced_accuracy(predictions: Sequence[int], targets: Sequence[int]) -> float:
    """Mean over the classes of the share of their examples that are found."""
    from sklearn.metrics import recall_score

    # As `balanced_accuracy_score`, which warns of predictions of a class that has no examples.
    present = sorted(set(targets))
    return 100 * float(recall_score(targets, predictions, labels=present, average="macro"))


def roc_auc(probabilities: Sequence[Sequence[float]], targets: Sequence[int]) -> float:
    """Area under the ROC curve: of the second of two classes; of more classes the mean of each against the rest.

    Classes without examples are left out of the mean. It is 50, that of guessing, where all examples have one class,
    as can happen in a few examples that a method draws; whole splits of this sort are refused.
    """
    from sklearn.metrics import roc_auc_score

    present = sorted(set(targets))
    if len(present) < 2:
        return 50.0
    scored = present if len(probabilities[0]) > 2 else [1]
    areas = [roc_auc_score([t == c for t in targets], [row[c] for row in probabilities]) for c in scored]
    return 100 * fmean(map(float, areas))


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


def rmse(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Root of the mean squared difference, in the unit of the labels."""
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(targets, predictions))


def mae(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Mean absolute difference, in the unit of the labels."""
    from sklearn.metrics import mean_absolute_error

    return float(mean_absolute_error(targets, predictions))


def r2(predictions: Sequence[float], targets: Sequence[float]) -> float:
    """Explained share of the variance; below 0 for predictions worse than the mean, and 0 for constant targets."""
    from sklearn.metrics import r2_score

    return 0.0 if _is_constant(targets) else 100 * float(r2_score(targets, predictions))


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
