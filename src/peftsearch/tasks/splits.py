"""Rules that turn the data at hand into train, validation and test splits."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from peftsearch.errors import DataError
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example

T = TypeVar("T")
logger = logging.getLogger(__name__)

LARGE_VALIDATION = 2000


class Splits(NamedTuple):
    """Rows of the three splits, and the rule in words."""

    rows: dict[str, list]
    rule: str


def permutation(size: int, seed: int) -> list[int]:
    """Return `torch.randperm(size)` drawn by a generator of this seed, as the reference code does."""
    import torch

    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()


def split_small(train: Sequence[T], validation: Sequence[T], *, seed: int) -> Splits:
    """Keep `train`; permute `validation` and make its first floor(n/2) rows validation, the rest test.

    Source: the split rule for small GLUE and SuperGLUE tasks of BIPEFT's and S3Delta's code.
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
    """Permute `train` and make its first 2000 rows validation, the rest train; `validation` is the test split.

    With at most 2000 training rows the rule can't hold: a tenth becomes validation, and a warning says so.

    Source: the split rule for large GLUE and SuperGLUE tasks of BIPEFT's and S3Delta's code.
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
    """Split one table about 80/10/10, within each stratum; each stratum's first row goes to train.

    Args:
        rows: the table.
        strata: the class of every row, or one constant for regression.
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
    """Keep the first `max_samples` of a seeded permutation; 0, or more than there are, keeps all in order."""
    if max_samples < 0:
        raise DataError(f"max_train_samples is {max_samples}, but must be 0 (keep all) or more.")
    if max_samples == 0 or max_samples >= len(train):
        return list(train)
    return [train[i] for i in permutation(len(train), seed)[:max_samples]]


def check_splits(rows: Mapping[str, Sequence[Example]], *, labels: Sequence[str], source: str) -> None:
    """Refuse splits that nothing can be learned from; warn of classes without a training row.

    Args:
        rows: examples of the three splits.
        labels: class names; empty for other goals.
        source: the data in words.

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
        target = rows[TRAIN][0].target
        shown = labels[target] if labels else target
        raise DataError(
            f"All {len(rows[TRAIN])} training rows of {source} have the label '{shown}', but at least two "
            "different labels are needed. Check the label column, or raise max_train_samples."
        )
    missing = [label for i, label in enumerate(labels) if i not in found]
    if missing:
        logger.warning("No training row of %s has the labels %s; they can't be learned.", source, shorten(missing))


def shorten(names: Sequence[str]) -> str:
    """List at most ten names in quotes."""
    shown = ", ".join(f"'{name}'" for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
