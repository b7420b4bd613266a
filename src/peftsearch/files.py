"""Files that survive a kill: a reader sees the old one or the new one, never half of one. No torch here."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peftsearch.errors import StorageError


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system or of safetensors during a write into `StorageError`."""
    try:
        yield
    except Exception as error:
        # safetensors has an error of its own for a write that fails.
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"Cannot write '{path}': {reason}. Make room or give the folder the rights; then the same command with "
            "--resume goes on from what is there."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and on the disk before this returns.

    Raises:
        StorageError: if it cannot be written, as when the disk is full.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, document: Any) -> None:
    """Write readable JSON; see `write_bytes`."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file of JSON lines; a kill can leave a row without its end.

    Raises:
        StorageError: if it cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_rows(path: Path, *, max_bytes: int = 1_000_000_000) -> list[dict[str, Any]]:
    """Read a file of JSON lines, without a last row that has no end; a missing file has no rows.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is larger than any such file can be, or not JSON.
    """
    if not path.is_file():
        return []
    return [json.loads(line) for line in _whole_rows(_read_bytes(path, max_bytes)).split(b"\n") if line.strip()]


def cut_rows(path: Path, *, num_bytes: int | None = None) -> None:
    """Cut off a row that never got to its end, and whatever is beyond `num_bytes`; a missing file stays missing.

    Raises:
        StorageError: if it cannot be written.
    """
    if path.exists():
        data = path.read_bytes()
        kept = _whole_rows(data[:num_bytes])
        if kept != data:
            write_bytes(path, kept)


def _whole_rows(data: bytes) -> bytes:
    return data[: data.rfind(b"\n") + 1]


def flush(path: Path) -> None:
    """Put a file on the disk before this returns.

    Raises:
        StorageError: if that fails.
    """
    with storage_errors(path):
        _flush(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears under its name only when it is whole; one that was there is replaced.

    Yields:
        the folder to write to.

    Raises:
        StorageError: if something in it cannot be written; nothing is left then.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            for inner in [*temporary.rglob("*"), temporary]:
                _flush(inner)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _replace_folder(path, temporary)
        _flush(path.parent)


def _replace_folder(path: Path, new: Path) -> None:
    """Put a whole folder in the place of another; at no moment are both gone."""
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def read_limited(path: Path, *, max_bytes: int) -> str:
    """Read a text file that somebody else may have made.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is larger than any such file can be, or not UTF-8.
    """
    return _read_bytes(path, max_bytes).decode("utf-8")


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it has more than the {max_bytes:,} bytes that are read")
    return data


def _flush(path: Path) -> None:
    """Put a file on the disk, or the names in a folder where the system lets folders be opened."""
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
