"""Rules that make train, validation and test splits of the available data."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from peftsearch.errors import DataError
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example

T = TypeVar("T")
logger = logging.getLogger(__name__)

LARGE_VALIDATION = 2000


class Splits(NamedTuple):
    """The result of a split rule.

    Args:
        rows: "train", "validation" and "test" -> the rows.
        rule: the rule in words.
    """

    rows: dict[str, list]
    rule: str


def permutation(size: int, seed: int) -> list[int]:
    """Draw `torch.randperm(size)` with a generator of its own, as the reference code does."""
    import torch

    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()


def split_small(train: Sequence[T], validation: Sequence[T], *, seed: int) -> Splits:
    """Keep `train`; permute `validation` and take its first floor(n/2) rows for validation, the rest for test.

    Args:
        train: rows for training.
        validation: rows to divide.
        seed: of the permutation.

    Source: the split rule of BIPEFT's and S3Delta's code for small GLUE and SuperGLUE tasks.
    """
    order = permutation(len(validation), seed)
    half = len(validation) // 2
    rows = {
        TRAIN: list(train),
        VALIDATION: [validation[i] for i in order[:half]],
        TEST: [validation[i] for i in order[half:]],
    }
    return Splits(rows, f"train as given; validation data permuted (seed {seed}): first half validation, rest test")


def split_large(train: Sequence[T], validation: Sequence[T], *, seed: int) -> Splits:
    """Permute `train`: the first 2000 rows are validation, the rest train; `validation` becomes the test split.

    With at most 2000 training rows, a tenth is taken for validation instead, with a warning.

    Args:
        train: rows to divide.
        validation: rows of the test split.
        seed: of the permutation.

    Source: the split rule of BIPEFT's and S3Delta's code for large GLUE and SuperGLUE tasks.
    """
    held_out = LARGE_VALIDATION
    if len(train) <= LARGE_VALIDATION:
        held_out = len(train) // 10
        logger.warning(
            "The split rule takes %d of the training rows for validation, but there are only %d: %d are taken. "
            "Scores on this part of the data don't compare with published ones.",
            LARGE_VALIDATION,
            len(train),
            held_out,
        )
    order = permutation(len(train), seed)
    rows = {
        TRAIN: [train[i] for i in order[held_out:]],
        VALIDATION: [train[i] for i in order[:held_out]],
        TEST: list(validation),
    }
    return Splits(
        rows, f"train permuted (seed {seed}): first {held_out} validation, rest train; test = validation data"
    )


def split_one(rows: Sequence[T], strata: Sequence[object], *, seed: int) -> Splits:
    """Split one table about 80/10/10 within each stratum; the first row of each stratum goes to the training split.

    Args:
        rows: rows of the table.
        strata: the class of each row; for a regression the same value for all rows.
        seed: of the permutation.
    """
    order = sorted(permutation(len(rows), seed), key=lambda i: str(strata[i]))
    split_rows: dict[str, list] = {TRAIN: [], VALIDATION: [], TEST: []}
    deal = [TRAIN] * 10
    deal[2], deal[7] = VALIDATION, TEST
    seen: set[str] = set()
    dealt = 0
    for i in order:
        if str(strata[i]) not in seen:
            seen.add(str(strata[i]))
            split_rows[TRAIN].append(rows[i])
            continue
        split_rows[deal[dealt % 10]].append(rows[i])
        dealt += 1
    return Splits(split_rows, f"one file permuted (seed {seed}): about 80/10/10 train/validation/test in each class")


def limit_train(train: Sequence[T], *, max_samples: int, seed: int) -> list[T]:
    """Keep some training rows, chosen by a seeded permutation.

    Args:
        train: the rows.
        max_samples: rows to keep; 0, or as many as there are, keeps all in their order.
        seed: of the permutation.

    Raises:
        DataError: for a negative number.
    """
    if max_samples < 0:
        raise DataError(f"max_train_samples is {max_samples}, but must be 0 (keep all) or more.")
    if max_samples == 0 or max_samples >= len(train):
        return list(train)
    return [train[i] for i in permutation(len(train), seed)[:max_samples]]


def check_splits(rows: Mapping[str, Sequence[Example]], *, labels: Sequence[str], source: str) -> None:
    """Refuse splits from which nothing can be learned; warn of classes without a training row.

    Args:
        rows: "train", "validation" and "test" -> the examples.
        labels: class names; empty for tasks without classes.
        source: the data in words, for errors.

    Raises:
        DataError: for fewer than two training rows (the search halves them), an empty validation or test split, or
            training rows that all have one label.
    """
    for name, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
        if len(rows[name]) < needed:
            raise DataError(
                f"{source} gives {len(rows[name])} rows for the {name} split, but at least {needed} are needed. "
                "Give more rows."
            )
    found = {example.target for example in rows[TRAIN]}
    if len(found) < 2:
        first = rows[TRAIN][0]
        shown = labels[int(first.number)] if labels else first.target
        raise DataError(
            f"All {len(rows[TRAIN])} training rows of {source} have the label '{shown}', but at least two "
            "different labels are needed. Check the label column, or raise max_train_samples."
        )
    missing = [label for i, label in enumerate(labels) if i not in found]
    if missing:
        logger.warning("No training row of %s has the labels %s; they can't be learned.", source, shorten(missing))


def warn_of_leaks(rows: Mapping[str, Sequence[Example]], *, source: str) -> None:
    """Warn of validation and test rows whose texts are those of a training row: their scores are too good.

    Args:
        rows: "train", "validation" and "test" -> the examples.
        source: the data in words.
    """
    known = {example.fields for example in rows[TRAIN]}
    for name in (VALIDATION, TEST):
        count = sum(example.fields in known for example in rows[name])
        if count:
            logger.warning(
                "%d of %d %s rows of %s have the texts of a training row, so their score is too good. Remove the rows "
                "that are there twice, or give a file for each split.",
                count,
                len(rows[name]),
                name,
                source,
            )


def shorten(names: Sequence[str]) -> str:
    """List at most ten names in quotes."""
    shown = ", ".join(f"'{name}'" for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
