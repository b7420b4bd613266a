"""Read csv and tsv files: each row exactly as it is written, or an error that names its line."""

import csv
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from peftsearch.tasks.text_files import TextReading

logger = logging.getLogger(__name__)

# A cell as csv writers quote it: marks inside of it are doubled.
_QUOTED = re.compile(r'"([^"]|"")*"')
# Delimiters that a header of one column was probably meant to have.
_OTHERS = (";", "\t", "|", ",")


def read_csv(path: Path, reading: TextReading) -> list[dict[str, str | None]]:
    """Read a csv file: cells may be quoted (RFC 4180); an empty cell is None, all others are text as written.

    Raises:
        ValueError: for a row with another number of cells than the header, and for quotation marks that do not pair.
    """
    return _read(path, reading, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def read_tsv(path: Path, reading: TextReading) -> list[dict[str, str | None]]:
    """Read a tsv file: a line is a row and a quotation mark is text, as in GLUE's files; else like `read_csv`."""
    rows = _read(path, reading, delimiter="\t", quoting=csv.QUOTE_NONE)
    quoted = sum(cell is not None and _QUOTED.fullmatch(cell) is not None for row in rows for cell in row.values())
    if quoted:
        logger.warning(
            "%d cells of %s stand in quotation marks, which are read as text. If they quote the cells, name the file "
            ".csv and give --delimiter tab.",
            quoted,
            path.name,
        )
    return rows


def _read(path: Path, reading: TextReading, *, delimiter: str, quoting: int) -> list[dict[str, str | None]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows: list[dict[str, str | None]] = []
    delimiter = reading.character or delimiter
    with reading.open(path) as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        try:
            header = next(reader, [])
            _check_header(header)
            begun, empty, passed_over = reader.line_num + 1, 0, 0
            for cells in reader:
                if cells:
                    _check_cells(cells, header, begun)
                    rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
                    passed_over = empty
                else:
                    empty += 1
                begun = reader.line_num + 1
        except csv.Error as error:
            hint = "Do its quotation marks pair, are those inside of a cell doubled, and is"
            shown = "a tab" if delimiter == "\t" else f"'{delimiter}'"
            raise ValueError(f"line {reader.line_num}: {error}. {hint} {shown} the --delimiter?") from error
    if passed_over:
        logger.warning("%d empty lines among the rows of %s are passed over.", passed_over, path.name)
    return rows


def _check_header(header: Sequence[str]) -> None:
    if header and header[0].startswith("sep=") and len(header) <= 2:
        raise ValueError("the first line is Excel's note of its delimiter, not the names of the columns. Remove it.")
    unnamed = [number for number, name in enumerate(header, start=1) if not name.strip()]
    if len(unnamed) > 1:
        shown = ", ".join(map(str, unnamed))
        raise ValueError(f"the columns {shown} have no name in the first line. Name them, or remove them if empty.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"the first line names the column '{twice[0]}' twice. Rename one of them.")


def _check_cells(cells: Sequence[str], header: Sequence[str], line: int) -> None:
    if len(cells) != len(header):
        raise ValueError(
            f"line {line} has {len(cells)} cells, but the first line names {len(header)} columns. Give every row "
            f"all of its cells, and quote those that hold the delimiter (csv).{hint_of_delimiter(header)}"
        )


def hint_of_delimiter(columns: Sequence[str]) -> str:
    """Suggest another delimiter for a table of one column whose name holds it; empty for others."""
    found = [mark for mark in _OTHERS if len(columns) == 1 and mark in columns[0]]
    return f" Is it separated by another character? Try --delimiter {found[0]!r}." if found else ""
