"""Read csv and tsv files: each row exactly as it is written, or an error that names its line."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path


def read_csv(path: Path) -> list[dict[str, str | None]]:
    """Read a csv file: cells may be quoted (RFC 4180); an empty cell is None, all others are text as written.

    Raises:
        ValueError: for a row with another number of cells than the header, and for quotation marks that do not pair.
    """
    return _read(path, delimiter=",", quoting=csv.QUOTE_MINIMAL)


def read_tsv(path: Path) -> list[dict[str, str | None]]:
    """Read a tsv file: a line is a row and a quotation mark is text, as in GLUE's files; else like `read_csv`."""
    return _read(path, delimiter="\t", quoting=csv.QUOTE_NONE)


def _read(path: Path, *, delimiter: str, quoting: int) -> list[dict[str, str | None]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows: list[dict[str, str | None]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]
        try:
            header = next(reader, [])
            _check_header(header)
            begun = reader.line_num + 1
            for cells in reader:
                if cells:
                    _check_cells(cells, header, begun)
                    rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
                begun = reader.line_num + 1
        except csv.Error as error:
            hint = "Do its quotation marks pair, and are those inside of a cell doubled?"
            raise ValueError(f"line {reader.line_num}: {error}. {hint}") from error
    return rows


def _check_header(header: Sequence[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"the first line names the column '{twice[0]}' twice. Rename one of them.")


def _check_cells(cells: Sequence[str], header: Sequence[str], line: int) -> None:
    if len(cells) != len(header):
        raise ValueError(
            f"line {line} has {len(cells)} cells, but the first line names {len(header)} columns. Give every row "
            "all of its cells, and quote those that hold the separator (csv)."
        )
