"""Losses of guessing: what a model has that knows nothing but the labels of the training set."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean


def guess_classes(train: Sequence[int], weights: Sequence[float]) -> list[float]:
    """The loss of each class, guessed by its share in training.

    Args:
        train: class of each training example.
        weights: of each class in the loss.

    Returns:
        the negative logarithm of each class's share, with one added to every count, and both with the weights.
    """
    counts = Counter(train)
    total = sum(weights[label] * count for label, count in counts.items()) + len(weights)
    return [-weight * math.log((weight * counts[label] + 1) / total) for label, weight in enumerate(weights)]


def guess_numbers(train: Sequence[float], validation: Sequence[float]) -> list[float]:
    """The squared differences of numbers from the mean of those in training."""
    mean = fmean(train)
    return [(number - mean) ** 2 for number in validation]


def label_shares(train: Sequence[Sequence[int]]) -> list[float]:
    """The share of the rows that have each label, with one added to those with it and to those without.

    Args:
        train: rows with a 0 or a 1 for each label.
    """
    return [(sum(flags) + 1) / (len(train) + 2) for flags in zip(*train, strict=True)]


def guess_labels(train: Sequence[Sequence[int]], validation: Sequence[Sequence[int]]) -> list[float]:
    """The binary cross-entropy of each row, its mean over the labels, where each is guessed by its share in training.

    Args:
        train: rows with a 0 or a 1 for each label.
        validation: the same of the rows that are guessed.

    Returns:
        the loss of each row of the second.
    """
    shares = label_shares(train)
    return [-fmean(math.log(share if flag else 1 - share) for flag, share in zip(row, shares)) for row in validation]
