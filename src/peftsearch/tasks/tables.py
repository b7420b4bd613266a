"""Read tables as lists of rows, from files or from the Hugging Face hub."""

import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.column_hints import hint_of_names
from peftsearch.tasks.conll import read_conll
from peftsearch.tasks.picture_folders import list_pictures
from peftsearch.tasks.separated import hint_of_delimiter, read_csv, read_tsv
from peftsearch.tasks.squad_file import is_squad_file, squad_rows
from peftsearch.tasks.stored_types import as_meant, features_of
from peftsearch.tasks.text_files import UTF_8, TextReading, is_compressed

Row = Mapping[str, Any]
Reader = Callable[[Path, TextReading], Sequence[Row]]
AS_USUAL = TextReading()


@dataclass(frozen=True)
class Table:
    """A table with a name for errors.

    Args:
        name: such as "train.csv".
        rows: of the table.
        left_out: rows of the file that are not here, by their number counted from 1.
        folder: from which relative paths in its cells count.
    """

    name: str
    rows: Sequence[Row]
    left_out: frozenset[int] = frozenset()
    folder: Path = Path()

    @cached_property
    def first_cells(self) -> Row:
        """Of each column the first cell that is not null; None where all are. It shows what a column holds."""
        found: dict[str, Any] = {name: None for row in self.rows for name in row}
        for row in self.rows:
            missing = [name for name, value in found.items() if is_null(value)]
            if not missing:
                break
            found.update({name: row[name] for name in missing if name in row})
        return found

    @property
    def numbers(self) -> list[int]:
        """Number of each row in the file, counted from 1."""
        total = len(self.rows) + len(self.left_out)
        return [number for number in range(1, total + 1) if number not in self.left_out]

    def places(self) -> list[str]:
        """Each row in words for errors, such as "row 3 of train.csv"."""
        return [f"row {number} of {self.name}" for number in self.numbers]


def open_table(path: Path, reading: TextReading = AS_USUAL, readers: Mapping[str, Reader] | None = None) -> Table:
    """Read a file, or the pictures of a folder, as a table that knows its folder; arguments as for `read_table`."""
    folder = path if path.is_dir() else path.parent
    return Table(path.resolve().name, read_table(path, reading, readers), folder=folder)


def read_table(path: Path, reading: TextReading = AS_USUAL, readers: Mapping[str, Reader] | None = None) -> list[Row]:
    """Read a csv, tsv, json, jsonl, conll or parquet file; all but parquet may be compressed, as in "train.csv.gz".

    Of a folder, its pictures are the rows.

    Args:
        path: a file whose extension tells its format, or a folder.
        reading: delimiter and encoding of a text file.
        readers: by extension, where a task format has further ones; None for those of every format.

    Raises:
        DataError: for a missing, empty or unreadable file, another extension, or a delimiter or encoding that the
            format does not have.
    """
    if path.is_dir():
        _check_reading(path, FOLDER, reading)
        return list(list_pictures(path))
    known = READERS if readers is None else readers
    suffix = format_of(path, known)
    if suffix is None:
        shown = "".join(path.suffixes[-2:]) if is_compressed(path) else path.suffix
        raise DataError(
            f"Unknown extension '{shown.lower()}' of '{path}'. Known: {', '.join(known)}, and all but .parquet with "
            ".gz. Convert the file."
        )
    _check_reading(path, suffix, reading)
    if not path.is_file():
        raise DataError(f"There is no file '{path}'. Check the path.")
    try:
        rows = list(known[suffix](path, reading))
    except UnicodeError as error:
        raise DataError(reading.describe(path, error)) from error
    except (OSError, ValueError, RecursionError, EOFError, zlib.error) as error:
        raise DataError(f"'{path}' can't be read as {suffix[1:]}: {error}") from error
    if not rows:
        raise DataError(f"'{path}' is empty: at least one row is needed.")
    return rows


def extension_of(path: Path) -> str:
    """The extension of a file in lower case, without .gz."""
    return (Path(path.stem) if is_compressed(path) else path).suffix.lower()


def format_of(path: Path, readers: Mapping[str, Reader] | None = None) -> str | None:
    """The extension that tells a file's format; None for one that can't be read.

    Args:
        path: of the file.
        readers: as for `read_table`.
    """
    suffix = extension_of(path)
    is_known = suffix in (READERS if readers is None else readers)
    return suffix if is_known and not (is_compressed(path) and suffix == _PARQUET) else None


def has_delimiter(path: Path) -> bool:
    """Whether the cells of a file are separated by a delimiter, by its extension."""
    return not path.is_dir() and extension_of(path) not in _WITHOUT_DELIMITER


def has_encoding(path: Path) -> bool:
    """Whether a file is text, by its extension."""
    return not path.is_dir() and extension_of(path) != _PARQUET


def _check_reading(path: Path, suffix: str, reading: TextReading) -> None:
    """Refuse settings that would be without effect."""
    if reading.delimiter and suffix in _WITHOUT_DELIMITER:
        raise DataError(f"'{path}' has no delimiter, but delimiter is {reading.delimiter!r}. Leave --delimiter out.")
    if reading.encoding != UTF_8 and suffix in (_PARQUET, FOLDER):
        raise DataError(f"'{path}' knows its encoding, but encoding is '{reading.encoding}'. Leave --encoding out.")


def require_columns(rows: Sequence[Row], names: Sequence[str], *, source: str) -> None:
    """Refuse a table that lacks a column.

    Args:
        rows: the table.
        names: columns that it must have.
        source: the table in words, for errors.

    Raises:
        DataError: naming the missing column and the columns there are.
    """
    columns = tuple(dict.fromkeys(str(name) for row in rows for name in row))
    for name in names:
        if name not in columns:
            hint = hint_of_delimiter(columns) or hint_of_names(name, columns)
            raise DataError(f"{source} has no column '{name}'. Its columns: {', '.join(columns)}.{hint}")


def is_null(value: object) -> bool:
    """Tell whether a cell has no value: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_hub(name: str, configuration: str | None = None) -> dict[str, list[Row]]:
    """Read all splits of a data set on the Hugging Face hub.

    Args:
        name: the data set's id.
        configuration: name of one of its configurations; None for the default.

    Returns:
        name of the split -> rows.

    Raises:
        DataError: if it does not exist or cannot be reached.
    """
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import HfHubHTTPError

    shown = name if configuration is None else f"{name}, {configuration}"
    try:
        splits = datasets.load_dataset(name, configuration)
    except (OSError, ValueError, RuntimeError, DatasetsError, HfHubHTTPError) as error:
        raise DataError(
            f"The data set '{shown}' can't be loaded from the Hugging Face hub: {error}. Check the name and the "
            "network (HF_HUB_OFFLINE), name one of several configurations as in --data openai/gsm8k:main, or use "
            "local files: --data_dir for GLUE and SuperGLUE, --data for your own."
        ) from error
    tables = {str(split): _with_pictures_as_files(table) for split, table in splits.items()}
    return {split: as_meant(table.to_list(), table.features.to_dict()) for split, table in tables.items()}


def _with_pictures_as_files(table: Any) -> Any:
    """A data set whose pictures stay as they were saved, rather than decoded."""
    import datasets

    for name, feature in table.features.items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def _read_parquet(path: Path, reading: TextReading) -> list[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
        _refuse_twice(table.column_names, "column")
        return as_meant(table.to_pylist(), features_of(table.schema.metadata))
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error


def _read_json(path: Path, reading: TextReading) -> list[Row]:
    with reading.open(path) as file:
        rows = _loads(file.read())
    if is_squad_file(rows):
        return squad_rows(rows)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected a list of objects, one a row; a file with an object in each line is named .jsonl")
    return rows


def _read_jsonl(path: Path, reading: TextReading) -> list[Row]:
    rows = []
    with reading.open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = _loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            rows.append(row)
    return rows


def _loads(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_as_object)
    except json.JSONDecodeError as error:
        hint = " Is it a file with an object in each line? Name it .jsonl." if error.msg == "Extra data" else ""
        raise ValueError(f"{error}.{hint}") from error


def _as_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_twice([name for name, _ in pairs], "key")
    return dict(pairs)


def _refuse_twice(names: Sequence[str], what: str) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"the {what} '{twice}' is there twice. Rename or remove one of them.")


_PARQUET = ".parquet"
# What stands for a suffix of a folder.
FOLDER = "folder"
_WITHOUT_DELIMITER = (".json", ".jsonl", _PARQUET, FOLDER)
READERS: Mapping[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".conll": read_conll,
    _PARQUET: _read_parquet,
}
