"""Read cells of a table as text, class or number, with errors that name the row."""

import math
from collections.abc import Sequence

from peftsearch.errors import DataError
from peftsearch.tasks.tables import Row, is_null


def read_text(row: Row, column: str, *, where: str) -> str:
    """Read a cell as text.

    Args:
        row: one row of a table.
        column: name of the column.
        where: the row in words for errors, such as "row 3 of train.csv".

    Raises:
        DataError: if the cell is null.
    """
    value = row.get(column)
    if is_null(value):
        raise DataError(f"The text in column '{column}' is null in {where}. Fill it or remove the row.")
    return value if isinstance(value, str) else str(value)


def read_fields(row: Row, columns: Sequence[tuple[str, str]], *, where: str) -> tuple[tuple[str, str], ...]:
    """Read the fields of an example.

    Args:
        row: one row of a table.
        columns: pairs of a field's label and its column.
        where: as for `read_text`.

    Returns:
        pairs of a field's label and its text.

    Raises:
        DataError: if a cell is null.
    """
    return tuple((label, read_text(row, column, where=where)) for label, column in columns)


def read_label(row: Row, column: str, *, where: str) -> object:
    """Read a label as it is; arguments as for `read_text`.

    Raises:
        DataError: if the cell is null or blank.
    """
    value = row.get(column)
    if is_null(value) or (isinstance(value, str) and not value.strip()):
        raise DataError(f"The label in column '{column}' is null in {where}. Fill it or remove the row.")
    return value


def read_number(row: Row, column: str, *, where: str) -> float:
    """Read a label as a finite number; arguments as for `read_text`.

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
    """Read a label as a class index.

    Args:
        row: one row of a table.
        column: name of the label column.
        num_classes: number of classes.
        where: as for `read_text`.

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
    """Convert a number, or a string that spells one; None for anything else."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float, str)):
        try:
            return float(value)
        except ValueError:
            return None
    return None
