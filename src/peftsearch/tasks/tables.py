"""Read tables as lists of rows, from files or from the Hugging Face hub."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.separated import read_csv, read_tsv

Row = Mapping[str, Any]


def read_table(path: Path) -> list[Row]:
    """Read a csv, tsv, json, jsonl or parquet file.

    Args:
        path: a file whose extension tells its format.

    Raises:
        DataError: for a missing, empty or unreadable file, or another extension.
    """
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise DataError(f"Unknown extension '{suffix}' of '{path}'. Known: {', '.join(READERS)}. Convert the file.")
    if not path.is_file():
        raise DataError(f"There is no file '{path}'. Check the path.")
    try:
        rows = list(READERS[suffix](path))
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text ({error}). Convert it to UTF-8.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"'{path}' can't be read as {suffix[1:]}: {error}") from error
    if not rows:
        raise DataError(f"'{path}' is empty: at least one row is needed.")
    return rows


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
            raise DataError(f"{source} has no column '{name}'. Its columns: {', '.join(columns)}.")


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
            "network (HF_HUB_OFFLINE), or use local files: --data_dir for GLUE and SuperGLUE, --data for your own."
        ) from error
    return {str(split): table.to_list() for split, table in splits.items()}


def _read_parquet(path: Path) -> list[Row]:
    import pandas

    return list(pandas.read_parquet(path).to_dict("records"))


def _read_json(path: Path) -> list[Row]:
    rows = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("expected a list of objects, one a row")
    return rows


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            rows.append(row)
    return rows


READERS: Mapping[str, Callable[[Path], Sequence[Row]]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
