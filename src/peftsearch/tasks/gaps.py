"""Rows without a text or a label: all named at once, or left out and counted."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from peftsearch.errors import DataError
from peftsearch.tasks.tables import Row, Table, is_null

logger = logging.getLogger(__name__)

# Rows that a message names.
_NAMED = 5


def without_gaps(tables: Sequence[Table], *, text: Sequence[str], needed: Sequence[str], drop: bool) -> list[Table]:
    """The tables, of whose rows each has a value in every column that is read.

    Args:
        tables: of a task.
        text: text columns, whose cells may be blank but not null.
        needed: columns of labels and groups, whose cells may not be blank or an empty list either.
        drop: whether rows with a gap are left out; they are refused otherwise.

    Raises:
        DataError: for rows with a gap that are not left out, or a table that has no others.
    """
    gaps = {table.name: _find_gaps(table, text, needed) for table in tables}
    if not drop and any(gaps.values()):
        shown = "; ".join(_describe(table, gaps[table.name]) for table in tables if gaps[table.name])
        raise DataError(f"{shown}. Fill them, remove the rows, or leave them out with --drop_missing.")
    return [_without(table, gaps[table.name]) for table in tables]


def _find_gaps(table: Table, text: Sequence[str], needed: Sequence[str]) -> dict[int, list[str]]:
    """Number of a row -> its columns without a value."""
    found = {}
    for number, row in zip(table.numbers, table.rows, strict=True):
        empty = [name for name in text if is_null(row.get(name))] + [name for name in needed if _is_blank(row, name)]
        if empty:
            found[number] = list(dict.fromkeys(empty))
    return found


def _is_blank(row: Row, column: str) -> bool:
    value = row.get(column)
    is_empty = isinstance(value, list | tuple) and not value
    return is_null(value) or is_empty or (isinstance(value, str) and not value.strip())


def _describe(table: Table, gaps: Mapping[int, list[str]]) -> str:
    named = [f"row {number} ({', '.join(columns)})" for number, columns in list(gaps.items())[:_NAMED]]
    more = f" and {len(gaps) - _NAMED:,} more" if len(gaps) > _NAMED else ""
    total = len(table.rows) + len(table.left_out)
    return f"{len(gaps):,} of {total:,} rows of {table.name} lack a value: {', '.join(named)}{more}"


def _without(table: Table, gaps: Mapping[int, list[str]]) -> Table:
    if not gaps:
        return table
    logger.warning("%s. They are left out.", _describe(table, gaps))
    rows = [row for number, row in zip(table.numbers, table.rows, strict=True) if number not in gaps]
    if not rows:
        raise DataError(f"No row of {table.name} has a text and a label. Are the right columns named?")
    return replace(table, rows=rows, left_out=table.left_out | frozenset(gaps))
