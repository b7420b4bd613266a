"""Read the labels of a row, of which there may be none, one or many: a list, a text with a separator, or columns."""

from collections.abc import Callable, Sequence
from functools import partial

from peftsearch.errors import DataError
from peftsearch.tasks.cells import as_number, read_text, read_value, show_cell
from peftsearch.tasks.tables import Row, is_null

# Labels of a row as they are written: names, or whole numbers that stand for names.
Labels = tuple[str | int, ...]

_FLAGS = {"true": True, "false": False}


def reader_of(columns: Sequence[str], separator: str) -> Callable[[Row, str], Labels]:
    """Choose how labels are read: a 0 or a 1 in each of several columns, a text that is separated, or a list.

    Args:
        columns: of the labels.
        separator: between the labels in a text; empty if they stand in lists or columns.

    Returns:
        a function of a row, and of the row in words for errors.

    Raises:
        DataError: for a separator beside several columns.
    """
    if len(columns) == 1:
        return partial(_read_separated, columns[0], separator) if separator else partial(_read_list, columns[0])
    if separator:
        raise DataError(
            f"label_separator is {separator!r}, but --label names {len(columns)} columns, which hold a 0 or a 1 each. "
            "Leave --label_separator out, or name one column."
        )
    return partial(_read_flags, columns)


def as_flag(value: object) -> bool | None:
    """Read a cell that says yes or no: 0, 1, true or false, also as texts; None for anything else."""
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    number = as_number(value)
    return bool(number) if number in (0, 1) else None


def _read_flags(columns: Sequence[str], row: Row, where: str) -> Labels:
    found = []
    for column in columns:
        value = read_value(row, column, what="label", where=where)
        flag = as_flag(value)
        if flag is None:
            raise DataError(
                f"The label in column '{column}' is {show_cell(value)} in {where}, but each of several label columns "
                "holds 1 for rows with the label and 0 for rows without. Correct it, or name other columns in --label."
            )
        found += [column] if flag else []
    return tuple(found)


def _read_separated(column: str, separator: str, row: Row, where: str) -> Labels:
    value = row.get(column)
    if is_null(value):
        return ()
    if isinstance(value, list | tuple):
        raise DataError(
            f"The labels in column '{column}' are a list in {where}: {show_cell(value)}, but label_separator is "
            f"{separator!r}. Leave --label_separator out for lists."
        )
    text = read_text(row, column, where=where)
    return _checked(text.split(separator) if text.strip() else (), column, where)


def _read_list(column: str, row: Row, where: str) -> Labels:
    value = read_value(row, column, what="list of labels", where=where)
    if not isinstance(value, list | tuple):
        raise DataError(
            f"The labels in column '{column}' are {show_cell(value)} in {where}, but must be a list, which jsonl, "
            "json and parquet files hold. For labels in a text, say what stands between them with --label_separator."
        )
    return _checked(value, column, where)


def _checked(labels: Sequence[object], column: str, where: str) -> Labels:
    found: list[str | int] = []
    for place, label in enumerate(labels, start=1):
        name = label.strip() if isinstance(label, str) else label
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise DataError(
                f"Label {place} in column '{column}' is {show_cell(label)} in {where}, but labels are names such as "
                "'urgent', or whole numbers. Correct it."
            )
        if name in found:
            raise DataError(f"The label {name!r} is there twice in column '{column}' in {where}. Remove one of them.")
        found.append(name)
    return tuple(found)
