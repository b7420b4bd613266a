"""Read cells that hold a list: the words of a row, and the tag of each."""

from collections.abc import Mapping

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_value, show_cell
from peftsearch.tasks.tables import Row

_TO_TAG = (
    "A word has one tag, so that spans can't overlap: make tags of spans that are given by their ends, and where two "
    "overlap keep one."
)
_WHERE_LISTS_ARE = "Files of lists are jsonl, json, parquet and conll; csv and tsv hold none"


def read_words(row: Row, column: str, *, where: str) -> tuple[str, ...]:
    """Read a cell as a list of words.

    Args:
        row: one row of a table.
        column: name of the column.
        where: the row in words, for errors.

    Raises:
        DataError: if the cell is null, no list, an empty one, or has an element that is no text.
    """
    cells = _read_list(row, column, what="tokens", where=where)
    wrong = next((i for i, cell in enumerate(cells) if not isinstance(cell, str)), None)
    if wrong is not None:
        raise DataError(
            f"Token {wrong + 1} in column '{column}' is {show_cell(cells[wrong])} in {where}, but tokens are texts. "
            "Write it in quotation marks."
        )
    return tuple(cells)


def read_tags(row: Row, column: str, *, count: int, where: str) -> tuple[str | int, ...]:
    """Read a cell as a list of tags: names, or whole numbers that stand for names.

    Args:
        row: one row of a table.
        column: name of the column.
        count: of the row's words, each of which has a tag.
        where: the row in words, for errors.

    Raises:
        DataError: if the cell is null, no list, of another length, or has an element that is neither.
    """
    tags = _read_list(row, column, what="tags", where=where)
    if len(tags) != count:
        raise DataError(
            f"There are {count} tokens, but {len(tags)} tags in column '{column}' in {where}. Each token has one tag: "
            "correct the row, or remove it."
        )
    wrong = next((i for i, tag in enumerate(tags) if not _is_name(tag)), None)
    if wrong is not None:
        raise DataError(
            f"Tag {wrong + 1} in column '{column}' is {show_cell(tags[wrong])} in {where}, but tags are names such as "
            f"'B-person' and 'O', or whole numbers. {_TO_TAG if _holds_more(tags[wrong]) else 'Correct it.'}"
        )
    return tuple(tag.strip() if isinstance(tag, str) else tag for tag in tags)


def _holds_more(tag: object) -> bool:
    """Whether a tag is several ones, or a span with its ends."""
    return isinstance(tag, list | tuple | Mapping)


def _is_name(tag: object) -> bool:
    return bool(tag.strip()) if isinstance(tag, str) else isinstance(tag, int) and not isinstance(tag, bool)


def _read_list(row: Row, column: str, *, what: str, where: str) -> list:
    value = read_value(row, column, what=f"list of {what}", where=where)
    if not isinstance(value, list | tuple):
        raise DataError(
            f"The {what} in column '{column}' are {show_cell(value)} in {where}, but must be a list. "
            f"{_WHERE_LISTS_ARE}."
        )
    if not value:
        raise DataError(f"The list of {what} in column '{column}' is empty in {where}. Fill it or remove the row.")
    return list(value)
