"""Read cells of a table as text, class or number, and say which row is wrong."""

import math
from collections.abc import Sequence

from peftsearch.errors import DataError
from peftsearch.tasks.tables import Row, is_null


def read_text(row: Row, column: str, *, where: str) -> str:
    """Return the text in `column`.

    Args:
        row: one row of a table.
        column: its column.
        where: the row in words, such as "row 3 of train.csv".

    Raises:
        DataError: when there is none.
    """
    value = row.get(column)
    if is_null(value):
        raise DataError(f"The text in column '{column}' is null in {where}. Fill it or remove the row.")
    return value if isinstance(value, str) else str(value)


def read_fields(row: Row, columns: Sequence[tuple[str, str]], *, where: str) -> tuple[tuple[str, str], ...]:
    """Return pairs of a field's label and its text, for pairs of a label and its column."""
    return tuple((label, read_text(row, column, where=where)) for label, column in columns)


def read_label(row: Row, column: str, *, where: str) -> object:
    """Return the raw label.

    Raises:
        DataError: when there is none.
    """
    value = row.get(column)
    if is_null(value) or (isinstance(value, str) and not value.strip()):
        raise DataError(f"The label in column '{column}' is null in {where}. Fill it or remove the row.")
    return value


def read_number(row: Row, column: str, *, where: str) -> float:
    """Return the label as a finite number.

    Raises:
        DataError: for anything else.
    """
    value = read_label(row, column, where=where)
    number = as_number(value)
    if number is None or not math.isfinite(number):
        raise DataError(
            f"The label {value!r} in column '{column}' is not a finite number in {where}, but the task is a "
            "regression. Correct it, or give classes in all rows."
        )
    return number


def read_class(row: Row, column: str, *, num_classes: int, where: str) -> int:
    """Return the label as a class index.

    Raises:
        DataError: unless it is an integer in [0, num_classes).
    """
    value = read_label(row, column, where=where)
    number = as_number(value)
    if number is None or number not in range(num_classes):
        raise DataError(
            f"The label {value!r} in column '{column}' is not a class in {where}. Allowed: the codes 0 to "
            f"{num_classes - 1} of the Hugging Face data set (-1 marks unlabelled test data, which can't be used)."
        )
    return int(number)


def as_number(value: object) -> float | None:
    """Return a number, or the number that a string spells, else None."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float, str)):
        try:
            return float(value)
        except ValueError:
            return None
    return None
