"""Read cells of a table as text, class or number, with errors that name the row."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from peftsearch.errors import DataError
from peftsearch.tasks.tables import Row, is_null

_DECIMAL_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+")
# Characters of a cell that an error shows.
_SHOWN = 60


def read_value(row: Row, column: str, *, what: str = "value", where: str) -> object:
    """Read a cell as it is, whatever it holds.

    Args:
        row: one row of a table.
        column: name of the column.
        what: the cell in words for errors.
        where: the row in words for errors, such as "row 3 of train.csv".

    Raises:
        DataError: if the cell is null.
    """
    value = row.get(column)
    if is_null(value):
        raise DataError(f"The {what} in column '{column}' is null in {where}. Fill it or remove the row.")
    return value


def read_text(row: Row, column: str, *, where: str) -> str:
    """Read a cell as text; arguments as for `read_value`.

    Raises:
        DataError: if the cell is null, a list or an object.
    """
    value = read_value(row, column, what="text", where=where)
    _refuse_nested(value, f"The text in column '{column}'", where)
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
    """Read a label as it is; arguments as for `read_value`.

    Raises:
        DataError: if the cell is null or blank, a list or an object.
    """
    value = read_value(row, column, what="label", where=where)
    if isinstance(value, str) and not value.strip():
        raise DataError(f"The label in column '{column}' is blank in {where}. Fill it or remove the row.")
    _refuse_nested(value, f"The label in column '{column}'", where)
    return value


def show_cell(value: object) -> str:
    """Write a cell for a message, shortened if it is long."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _refuse_nested(value: object, what: str, where: str) -> None:
    """Refuse lists, objects and bytes, which Python would spell in its own way."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        kind = "an object" if isinstance(value, Mapping) else "bytes" if isinstance(value, bytes) else "a list"
        raise DataError(
            f"{what} is {kind} in {where}: {show_cell(value)}. A row has one text in each text column and one class "
            "or number; lists of words with a tag each are read with --task_format tokens, lists of labels with "
            "--task_format several_labels, lists of messages with --task_format chats; other tasks run in your own "
            "Trainer, see SearchTrainer in "
            "docs/python.md."
        )


def read_number(row: Row, column: str, *, where: str) -> float:
    """Read a label as a finite number; arguments as for `read_text`.

    Raises:
        DataError: for anything else.
    """
    value = read_label(row, column, where=where)
    number = None if isinstance(value, bool) else as_number(value)
    if number is None or not math.isfinite(number):
        advice = "Correct it, or give --goal classification if the labels are names."
        if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip()):
            advice = "It has a decimal comma: write numbers with a point, such as 12.5."
        raise DataError(
            f"The label {show_cell(value)} in column '{column}' is not a finite number in {where}, but the task is a "
            f"regression. {advice}"
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
    if isinstance(value, str) and "_" in value:
        # Python reads 1_000 as a number, but nobody who writes tables does.
        return None
    if isinstance(value, int | float | Decimal | str):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None
