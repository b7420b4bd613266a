"""Rules that make train, validation and test splits of the available data."""

import logging
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from peftsearch.errors import DataError
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Task

T = TypeVar("T")
logger = logging.getLogger(__name__)

LARGE_VALIDATION = 2000
# Up to so many groups are split with an eye on their classes.
_FEW_GROUPS = 2000


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


def split_one(rows: Sequence[T], strata: Sequence[object], *, seed: int, by: str = "class") -> Splits:
    """Split one table about 80/10/10 within each stratum; the first row of each stratum goes to the training split.

    Args:
        rows: rows of the table.
        strata: the class of each row; for a regression the same value for all rows.
        seed: of the permutation.
        by: what the strata are, in words; empty where there are none.
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
    return Splits(split_rows, f"one file permuted (seed {seed}): about 80/10/10 train/validation/test{_in_each(by)}")


def split_groups(
    parts: Sequence[Sequence[Example]], strata: Sequence[object], *, column: str, seed: int, by: str = "class"
) -> Splits:
    """Split like `split_one` or `split_small`, with all rows of a group in one split.

    Args:
        parts: one table, of which about a tenth each is validation and test, or two, of which the second is halved.
        strata: the class of each row of the last table; for a regression the same value for all rows.
        column: of the groups, for errors.
        seed: of the draw.
        by: what the strata are, in words; empty where there are none.

    Raises:
        DataError: for fewer groups than splits.
    """
    *train, divided = parts
    folds = _folds(divided, strata, num_folds=2 if train else 10, seed=seed)
    if len(folds) < 3 - len(train):
        raise DataError(
            f"The {len(divided)} rows to split have {len({row.group for row in divided})} groups in column "
            f"'{column}', which are too few for a training, a validation and a test split with enough rows of a "
            "class in each. Name another column in --group, or give a file for each split."
        )
    validation, test = ([divided[i] for i in fold] for fold in folds[:2])
    rest = list(train[0]) if train else [divided[i] for i in sorted(i for fold in folds[2:] for i in fold)]
    what = "second file halved" if train else "one file split"
    like = f", with like shares of each {by} as far as they allow" if by else ""
    rule = f"{what} by the groups of '{column}' (seed {seed}){like}"
    return Splits({TRAIN: rest, VALIDATION: validation, TEST: test}, rule)


def _in_each(by: str) -> str:
    return f" in each {by}" if by else ""


def _folds(rows: Sequence[Example], strata: Sequence[object], *, num_folds: int, seed: int) -> list[list[int]]:
    """Indices of rows in parts that share no group, those of about the wanted size first; fewer for few groups."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    groups, classes = [row.group for row in rows], [str(stratum) for stratum in strata]
    num = min(num_folds, len(set(groups)), max(Counter(classes).values()))
    if num < 2:
        return []
    # The stratified one takes half a millisecond a group; so many groups have like shares of each class by themselves.
    kind = StratifiedGroupKFold if len(set(groups)) <= _FEW_GROUPS else GroupKFold
    with warnings.catch_warnings():
        # Of classes with fewer rows than folds; `check_splits` says which are missing in training.
        warnings.simplefilter("ignore", UserWarning)
        found = kind(num, shuffle=True, random_state=seed).split(rows, classes, groups)
        folds = [fold.tolist() for _, fold in found if len(fold)]
    size = len(rows) / num_folds
    return sorted(folds, key=lambda fold: abs(len(fold) - size))


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


def limit_evaluation(task: Task, *, max_samples: int, seed: int) -> Task:
    """Keep some validation and test rows of each, chosen as `limit_train` does; its arguments.

    Raises:
        DataError: for a negative number.
    """
    if max_samples < 0:
        raise DataError(f"max_eval_samples is {max_samples}, but must be 0 (keep all) or more.")
    if max_samples == 0 or max_samples >= max(len(task.splits[VALIDATION]), len(task.splits[TEST])):
        return task
    kept = {
        name: tuple(limit_train(task.splits[name], max_samples=max_samples, seed=seed)) for name in (VALIDATION, TEST)
    }
    rule = f"{task.split_rule}; at most {max_samples} rows of validation and test each (seed {seed})"
    return replace(task, splits={**task.splits, **kept}, split_rule=rule)


def check_sizes(rows: Mapping[str, Sequence[Example]], *, source: str) -> None:
    """Refuse splits that are too small.

    Args:
        rows: "train", "validation" and "test" -> the examples.
        source: the data in words, for errors.

    Raises:
        DataError: for fewer than two training rows (the search halves them), or an empty validation or test split.
    """
    for name, needed in ((TRAIN, 2), (VALIDATION, 1), (TEST, 1)):
        if len(rows[name]) < needed:
            raise DataError(
                f"{source} gives {len(rows[name])} rows for the {name} split, but at least {needed} are needed. "
                "Give more rows, or larger --max_train_samples and --max_eval_samples."
            )


def check_splits(rows: Mapping[str, Sequence[Example]], *, labels: Sequence[str], source: str) -> None:
    """Refuse splits from which nothing can be learned; warn of classes without a training row.

    Args:
        rows: "train", "validation" and "test" -> the examples.
        labels: class names; empty for tasks without classes.
        source: the data in words, for errors.

    Raises:
        DataError: as `check_sizes`, or for training rows that all have one label.
    """
    check_sizes(rows, source=source)
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
    for split in (VALIDATION, TEST):
        present = {example.target for example in rows[split]}
        if never := [label for i, label in enumerate(labels) if i not in present and i in found]:
            logger.warning("No row of the %s split of %s has the labels %s.", split, source, shorten(never))


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
                "that are there twice, give a file for each split, or keep them on one side with --group COLUMN, "
                "which may be that of the texts.",
                count,
                len(rows[name]),
                name,
                source,
            )


def warn_of_shared_groups(rows: Mapping[str, Sequence[Example]], *, column: str, source: str) -> None:
    """Warn of validation and test rows that are of the group of a training row, where the files say so.

    Args:
        rows: "train", "validation" and "test" -> the examples.
        column: of the groups.
        source: the data in words.
    """
    known = {example.group for example in rows[TRAIN]}
    for name in (VALIDATION, TEST):
        count = sum(example.group in known for example in rows[name])
        if count:
            logger.warning(
                "%d of %d %s rows of %s have the '%s' of a training row, so their score may be too good.",
                count,
                len(rows[name]),
                name,
                source,
                column,
            )


def shorten(names: Sequence[str]) -> str:
    """List at most ten names in quotes."""
    shown = ", ".join(f"'{name}'" for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
