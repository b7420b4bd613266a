"""Write rows as csv, tsv, jsonl or parquet, so that `read_table` reads the same rows again."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.tables import Row

_BREAKS = ("\t", "\n", "\r")


def as_csv(rows: Sequence[Row]) -> bytes:
    """The rows with a line of names first, quoted where needed; a cell without a value is empty, words are joined."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    names = columns_of(rows)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return _encoded(buffer.getvalue())


def as_tsv(rows: Sequence[Row]) -> bytes:
    """The rows with a line of names first; a quotation mark is text, as in GLUE's files.

    Raises:
        DataError: for a text with a tab or a line break, which the format cannot hold.
    """
    names = columns_of(rows)
    lines = [names]
    for number, row in enumerate(rows, start=1):
        lines.append([_cell(row.get(name)) for name in names])
        wrong = next((name for name, cell in zip(names, lines[-1]) if any(mark in cell for mark in _BREAKS)), None)
        if wrong is not None:
            raise DataError(
                f"The text in column '{wrong}' of row {number} has a tab or a line break, which a tsv file cannot "
                "hold. Give --output with the suffix .csv, .jsonl or .parquet."
            )
    return _encoded("".join("\t".join(cells) + "\n" for cells in lines))


def as_jsonl(rows: Sequence[Row]) -> bytes:
    """An object a line."""
    return _encoded("".join(_json(row) + "\n" for row in rows))


def as_parquet(rows: Sequence[Row]) -> bytes:
    """A table of Apache Parquet.

    Raises:
        DataError: for cells that it cannot hold, such as pictures of Pillow.
    """
    import pandas
    import pyarrow

    buffer = io.BytesIO()
    try:
        pandas.DataFrame(list(rows), columns=columns_of(rows)).to_parquet(buffer, index=False)
    except pyarrow.ArrowException as error:
        raise DataError(
            f"The rows can't be written as parquet: {error}. Give --output with the suffix .csv or .jsonl."
        ) from error
    return buffer.getvalue()


WRITERS: Mapping[str, Callable[[Sequence[Row]], bytes]] = {
    ".csv": as_csv,
    ".tsv": as_tsv,
    ".jsonl": as_jsonl,
    ".parquet": as_parquet,
}


def writer_of(path: Path) -> Callable[[Sequence[Row]], bytes]:
    """Choose how rows are written by a file's suffix.

    Raises:
        DataError: for another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise DataError(f"Cannot write '{path}': its suffix is '{suffix}'. Known: {', '.join(WRITERS)}.")
    return WRITERS[suffix]


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Names of all columns, in the order in which the rows name them."""
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def _cell(value: Any) -> str:
    is_list = isinstance(value, list | tuple)
    if isinstance(value, Mapping) or (is_list and any(isinstance(item, Mapping) for item in value)):
        # Such as the messages of a chat.
        return _json(value)
    if is_list:
        # Words, which csv and tsv cannot hold as a list.
        return " ".join(map(str, value))
    return "" if value is None else _shown(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_shown)


def _shown(value: object) -> str:
    """A cell as text; of bytes, such as those of a picture, their number."""
    return f"{len(value):,} bytes" if isinstance(value, bytes) else str(value)


def _encoded(text: str) -> bytes:
    # Half of a surrogate pair, which JSON can spell, has no UTF-8.
    return text.encode("utf-8", "backslashreplace")
