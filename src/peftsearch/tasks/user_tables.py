"""The tables that the user names: one to three files, or a data set on the Hugging Face hub."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from peftsearch.errors import DataError
from peftsearch.names import split_names
from peftsearch.tasks.format_entry import AUTO, formats_with, readers_of
from peftsearch.tasks.picture_folders import require_class_folders, split_folders
from peftsearch.tasks.tables import Reader, Table, extension_of, format_of, open_table, read_hub
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION
from peftsearch.tasks.text_files import TextReading, is_compressed

logger = logging.getLogger(__name__)

# A data set, and one of its configurations after a colon.
_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+|[\w-]+)(:[\w.-]+)?")


def read_tables(data: str, reading: TextReading, *, task_format: str = AUTO) -> tuple[str, list[Table]]:
    """Read the task's name and its one to three tables: train, validation, test.

    Args:
        data: files or a hub id, as in `TaskRequest`.
        reading: of text files.
        task_format: as the user asks for it, which may read further files.

    Raises:
        DataError: for data that is missing or unreadable.
        UnknownNameError: for a format that is not registered.
    """
    parts = split_names(data)
    if not 1 <= len(parts) <= 3:
        raise DataError(f"--data names {len(parts)} files, but takes 'train[,validation[,test]]'.")
    if len(parts) == 1 and _is_hub_id(parts[0]):
        _refuse_reading(parts[0], reading)
        return parts[0], _read_hub_tables(parts[0])
    paths = [Path(part).expanduser() for part in parts]
    if len(paths) == 1 and paths[0].is_dir():
        paths = split_folders(paths[0])
    readers = readers_of(task_format)
    for path in paths:
        _refuse_extension(path, readers)
    tables = [open_table(path, reading, readers) for path in paths]
    for path, table in zip(paths, tables):
        if path.is_dir():
            require_class_folders(table.rows, path)
    logger.info("Read %s.", ", ".join(f"{len(table.rows):,} rows of {table.name}" for table in tables))
    return _name_of(paths[0]), tables


def _name_of(path: Path) -> str:
    """The name of a data set by its first table; that of the folder it lies in where it is called train."""
    whole = path.resolve()
    name = whole.name if path.is_dir() else Path(path.stem).stem if is_compressed(path) else path.stem
    return whole.parent.name if name == TRAIN else name


def _refuse_reading(name: str, reading: TextReading) -> None:
    if reading != TextReading():
        raise DataError(
            f"'{name}' is a data set of the hub, which knows its delimiter and encoding. Leave --delimiter and "
            "--encoding out, or name a file that is there."
        )


def _refuse_extension(path: Path, readers: Mapping[str, Reader]) -> None:
    """Refuse a file that only a format reads which was not asked for."""
    extension = extension_of(path)
    names = formats_with(extension) if extension not in readers else []
    if names:
        raise DataError(
            f"The extension '{extension}' of '{path}' does not tell what the file holds. Give --task_format "
            f"{' or '.join(names)}, or convert the file: {', '.join(readers)}."
        )


def data_files(data: str | None) -> list[str]:
    """List the files that `data` of a run names; none for a data set of the hub, and without any."""
    parts = split_names(data or "")
    return [] if len(parts) == 1 and _is_hub_id(parts[0]) else parts


def source_of(name: str, tables: Sequence[Table]) -> dict[str, object]:
    """Describe the tables that were read, with the data set's id if they are from the hub."""
    read: dict[str, object] = {"data": [table.name for table in tables], "rows": [len(table.rows) for table in tables]}
    if any(table.left_out for table in tables):
        read |= {"left_out": [len(table.left_out) for table in tables]}
    if tables[0].name != f"{name} {TRAIN}":
        return read
    hub_name, configuration = hub_parts(name)
    return {"hub": hub_name, **({"configuration": configuration} if configuration else {}), **read}


def hub_parts(name: str) -> tuple[str, str]:
    """Take `NAME[:CONFIGURATION]`, a data set of the hub, apart; the second part is empty where there is none."""
    hub_name, _, configuration = name.strip().partition(":")
    return hub_name, configuration


def _is_hub_id(name: str) -> bool:
    path = Path(name).expanduser()
    return (
        not path.exists()
        and format_of(path) is None
        and not formats_with(extension_of(path))
        and not is_compressed(path)
        and _HUB_ID.fullmatch(name) is not None
    )


def _read_hub_tables(name: str) -> list[Table]:
    hub_name, configuration = hub_parts(name)
    found = read_hub(hub_name, configuration or None)
    if TRAIN not in found:
        raise DataError(f"The data set '{name}' has no split 'train', only {', '.join(found)}. Use files instead.")
    order = [TRAIN] + [split for split in (VALIDATION, TEST) if split in found]
    return [Table(f"{name} {split}", found[split]) for split in order]
