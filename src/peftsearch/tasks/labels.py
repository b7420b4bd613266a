"""The labels of the user's tables: whether they are classes or numbers, and which classes there are."""

import logging
import math
import re
from collections.abc import Collection, Sequence
from decimal import Decimal

from peftsearch.errors import DataError
from peftsearch.tasks.cells import as_number, read_label, show_cell
from peftsearch.tasks.splits import shorten
from peftsearch.tasks.tables import Table
from peftsearch.tasks.task import Goal

logger = logging.getLogger(__name__)

# A label column with more distinct fractional numbers than this holds numbers, even if some cells are wrong.
_MAX_FRACTIONAL_CLASSES = 20
# A table with so few rows may have a class for each.
_FEWEST_ROWS = 4
# A warning is given below so many training rows a class.
_ROWS_PER_CLASS = 10
# What programs write for a missing value, in lower case.
_GAPS = ("nan", "n/a", "#n/a", "<na>", "null")
# Longer ones are names, since Python refuses to read them as numbers.
_INTEGER = re.compile(r"[+-]?\d{1,1000}")


def find_goal(tables: Sequence[Table], label: str, *, wanted: str) -> Goal:
    """Choose a regression for a label column of decimal numbers, and a classification for anything else; and say so.

    A number is decimal if it is written so (3.0, or a float in JSON or parquet). A few cells that are no numbers do
    not turn a regression into a classification.

    Args:
        tables: without gaps, the training table first.
        label: its column.
        wanted: "classification" or "regression", if the user says it; "auto" otherwise.

    Raises:
        DataError: for labels of several types in a table, which have no one name or number.
    """
    for table in tables:
        check_types(table, label, is_classes=wanted == Goal.CLASSIFICATION)
    if wanted in tuple(Goal):
        return Goal(wanted)
    values = _values(tables[0], label)
    decimals = {number for value in values if (number := _as_decimal(value)) is not None and math.isfinite(number)}
    is_numeric = all(as_number(value) is not None for value in values)
    fractional = {number for number in decimals if number % 1 != 0}
    if (is_numeric and decimals) or len(fractional) > _MAX_FRACTIONAL_CLASSES:
        logger.info("The labels in '%s' are decimal numbers: a regression, unless --goal classification.", label)
        return Goal.REGRESSION
    if is_numeric and not isinstance(values[0], bool):
        logger.info("The labels in '%s' are whole numbers: classes, unless --goal regression.", label)
    return Goal.CLASSIFICATION


def find_classes(tables: Sequence[Table], label: str) -> tuple[str, ...]:
    """Collect the classes of the training table, sorted by name, or by value if all are integers.

    Raises:
        DataError: for labels that hardly ever repeat, and for labels of later tables that the training table does not
            have.
    """
    found = [{class_name(value) for value in _values(table, label)} for table in tables]
    classes = found[0]
    _check_number(classes, tables[0], label)
    _warn_of_likes(tables[0], label, classes)
    for table, names in zip(tables[1:], found[1:]):
        unseen = sorted(names - classes)
        if unseen:
            raise DataError(
                f"{table.name} has labels that {tables[0].name} has not: {shorten(unseen)}. Training labels: "
                f"{shorten(sorted(classes))}. Add training rows of these labels, or remove their rows."
            )
    is_integer = all(_INTEGER.fullmatch(name) for name in classes)
    return tuple(sorted(classes, key=lambda name: (int(name) if is_integer else 0, name)))


def class_name(value: object) -> str:
    """The name of a class: the label as text, without spaces around it."""
    return str(value).strip()


def _values(table: Table, label: str) -> list[object]:
    rows = zip(table.rows, table.places(), strict=True)
    return [read_label(row, label, where=where) for row, where in rows]


def _as_decimal(value: object) -> float | None:
    """Convert a value that is written as a decimal number; None for anything else."""
    is_text = isinstance(value, str) and _INTEGER.fullmatch(value.strip()) is None
    return as_number(value) if is_text or isinstance(value, float | Decimal) else None


def check_types(table: Table, label: str, *, is_classes: bool) -> None:
    """Refuse a table whose labels are of several types: true, 1 and "1" would get one name, or 1 and 1.0 two.

    Args:
        table: is read.
        label: its column.
        is_classes: whether whole and decimal numbers are told apart too, since their names differ.

    Raises:
        DataError: naming the first row of each type.
    """
    first: dict[str, str] = {}
    for value, number in zip(_values(table, label), table.numbers, strict=True):
        first.setdefault(_type_of(value, is_classes), f"{show_cell(value)} in row {number}")
    if len(first) > 1:
        raise DataError(
            f"The labels in column '{label}' of {table.name} are of several types: {', '.join(first.values())}. Write "
            "all of them in one way."
        )


def _type_of(value: object, is_classes: bool) -> str:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return type(value).__name__ if is_classes else "number"
    return type(value).__name__


def _check_number(classes: Collection[str], train: Table, label: str) -> None:
    """Refuse a label column whose values hardly ever repeat, and warn of classes with few rows.

    Raises:
        DataError: for more classes than half of the training rows.
    """
    rows = len(train.rows)
    if rows <= _FEWEST_ROWS:
        return
    if len(classes) > rows / 2:
        raise DataError(
            f"The label column '{label}' of {train.name} has {len(classes)} different values in {rows} rows, for "
            f"example {shorten(sorted(classes)[:3])}, but classes must repeat. Name another column in --label. If "
            "they are numbers to predict, give --goal regression; texts that a model is to write are read with "
            "--task_format text_to_text."
        )
    if rows < _ROWS_PER_CLASS * len(classes):
        logger.warning(
            "%s has %d rows for %d classes: fewer than %d a class.", train.name, rows, len(classes), _ROWS_PER_CLASS
        )


def _warn_of_likes(train: Table, label: str, classes: Collection[str]) -> None:
    """Warn of labels that are one class but for spaces, and of classes that may be one, or a gap."""
    spellings = {str(value) for value in _values(train, label)}
    if len(spellings) > len(classes):
        logger.warning("Labels of %s that differ in the spaces around them are one class.", train.name)
    gaps = [name for name in sorted(classes) if name.lower() in _GAPS]
    if gaps:
        logger.warning(
            "The label '%s' of %s is a class like any other. If it stands for a missing label, empty these cells, and "
            "leave their rows out with --drop_missing.",
            gaps[0],
            train.name,
        )
    spelled: dict[str, str] = {}
    for name in sorted(classes):
        if (other := spelled.setdefault(name.casefold(), name)) != name:
            logger.warning(
                "The labels '%s' and '%s' of %s differ in case alone, and are two classes.", other, name, train.name
            )
    numbers: dict[float, str] = {}
    for name in sorted(classes):
        number = as_number(name)
        if number is not None and (other := numbers.setdefault(number, name)) != name:
            logger.warning("The labels '%s' and '%s' of %s are two classes, but one number.", other, name, train.name)
