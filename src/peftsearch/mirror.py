"""A copy of a folder in object storage or elsewhere, through fsspec. No torch here.

At the URL files that are gone here are deleted first; then files are written in the order in which they were written
here, so that one that says that others are complete arrives after them. `STAMP`, here and there, says which machine
wrote last: where they differ, another one has gone on, and its state takes the place of the older one here.
"""

import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from peftsearch.errors import RunFolderError, StorageError

logger = logging.getLogger(__name__)

STAMP = ".mirror"
# Stamp of a folder that has not arrived as a whole; no copy has it.
_ARRIVING = "arriving"


@dataclass(frozen=True)
class Mirror:
    """A copy of a folder at a URL. Nothing outside the folder is written, whatever the names at the URL are.

    Args:
        folder: here; need not exist.
        url: of its copy, as s3://bucket/name, gs://, abfs://, sftp://, file://; fsspec lists them. Empty for no copy:
            then nothing is ever copied.
    """

    folder: Path
    url: str = ""

    def below(self, part: str) -> "Mirror":
        """The copy of a folder below the folder, which is brought and sent by itself.

        Args:
            part: its path from the folder on, with slashes.
        """
        return Mirror(self.folder / part, f"{self.url.rstrip('/')}/{part}" if self.url else "")

    def names(self) -> list[str]:
        """Paths of the files of the copy, from the folder on; none where there is no copy.

        Raises:
            StorageError: if the copy cannot be read.
        """
        if not self.url:
            return []
        with self.opened("read") as store:
            return [str(path) for path in store.paths()]

    def bring(self) -> None:
        """Make the folder equal to the copy if another machine has written that; where this one did, nothing changes.

        Raises:
            StorageError: if the copy cannot be read.
            RunFolderError: if both hold files and nothing says that they are of the same work.
        """
        if not self.url:
            return
        with self.opened("read") as store:
            paths, stamp = store.paths(), store.stamp()
            if not paths or (stamp and stamp == self.stamp()):
                return
            here = self.files()
            if here and not self.stamp():
                raise RunFolderError(
                    f"'{self.folder}' and its mirror '{self.url}' both hold files, and the folder has never been "
                    "mirrored there. Give another --output or another --mirror."
                )
            self._write_stamp(_ARRIVING)
            for path in paths:
                store.get(path)
            for old in here - set(paths):
                (self.folder / old).unlink()
            self._write_stamp(stamp or _ARRIVING)
        logger.info("Brought %d files from '%s' to '%s'.", len(paths), self.url, self.folder)

    def fetch_files(self, names: Iterable[str]) -> None:
        """Copy some files of the copy that the folder lacks; those that the copy lacks too are left out.

        Raises:
            StorageError: if they cannot be read.
        """
        if not self.url:
            return
        with self.opened("read") as store:
            there = store.paths()
            for path in map(PurePosixPath, names):
                if path in there and not (self.folder / path).exists():
                    store.get(path)

    def send(self) -> None:
        """Make the copy equal to the folder.

        Raises:
            StorageError: if the copy cannot be written.
        """
        if not self.url:
            return
        here = self.files()
        with self.opened("write") as store:
            self.mark(store)
            for path in store.paths():
                if path not in here:
                    store.remove(path)
            store.put(here)

    def send_files(self, paths: Iterable[Path]) -> None:
        """Copy some files of the folder.

        Raises:
            StorageError: if they cannot be written.
        """
        if self.url:
            with self.opened("write") as store:
                store.put(PurePosixPath(path.relative_to(self.folder).as_posix()) for path in paths)

    def files(self) -> set[PurePosixPath]:
        """Paths of the files here, from the folder on, without locks and what is only being written."""
        found = (path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())
        return {PurePosixPath(path.as_posix()) for path in found if not _is_passing(path)}

    def stamp(self) -> str:
        """The stamp here; empty if there is none."""
        path = self.folder / STAMP
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def mark(self, store: "_Store") -> None:
        """Say here and there that this machine changes the copy now.

        Args:
            store: as `opened` gives it.
        """
        self._write_stamp(uuid.uuid4().hex)
        store.send(PurePosixPath(STAMP))

    def _write_stamp(self, stamp: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / STAMP).write_text(stamp, encoding="utf-8")

    @contextmanager
    def opened(self, what: str) -> Iterator["_Store"]:
        """The storage at the URL; whatever goes wrong there is a `StorageError`.

        Args:
            what: is done with it, a verb for the message.
        """
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        try:
            store, root = fsspec.url_to_fs(self.url)
            # What another machine has written since must be seen.
            store.invalidate_cache()
            if isinstance(store, LocalFileSystem):
                # All others make folders themselves, or have none.
                store.auto_mkdir = True
            yield _Store(store, root.rstrip("/"), self.folder)
        except RunFolderError:
            raise
        except ImportError as error:
            raise StorageError(f"Cannot {what} '{self.url}': {error}.") from error
        except Exception as error:  # each storage has errors of its own
            raise StorageError(
                f"Cannot {what} '{self.url}': {type(error).__name__}: {error}. Check the URL and your rights there; "
                "the same command goes on from what is there."
            ) from error


@dataclass(frozen=True)
class _Store:
    """The files at the URL; paths count from the folder on.

    Args:
        files: fsspec's file system.
        root: path of the copy in it.
        folder: here.
    """

    files: Any
    root: str
    folder: Path

    def paths(self) -> list[PurePosixPath]:
        """Paths of all files; names that lead out of the folder are left out, with a warning."""
        if not self.files.exists(self.root):
            return []
        found = (str(path).removeprefix(self.root).lstrip("/") for path in self.files.find(self.root))
        return [path for path in map(PurePosixPath, found) if not _is_passing(path) and self._takes(path)]

    def _takes(self, path: PurePosixPath) -> bool:
        if _stays_inside(path, self.folder):
            return True
        logger.warning("'%s' below '%s' leads out of the folder and is left alone.", path, self.root)
        return False

    def get(self, path: PurePosixPath) -> None:
        """Copy a file here; it appears under its name only when it is whole."""
        here = self.folder / path
        here.parent.mkdir(parents=True, exist_ok=True)
        arriving = here.with_name(here.name + ".tmp")
        self.files.get_file(f"{self.root}/{path}", str(arriving))
        arriving.replace(here)

    def put(self, paths: Iterable[PurePosixPath]) -> None:
        """Copy files from here, the oldest first; those that are gone by now are passed over."""
        for path in sorted(paths, key=lambda path: _written(self.folder / path)):
            try:
                self.send(path)
            except FileNotFoundError:
                if (self.folder / path).exists():
                    raise

    def send(self, path: PurePosixPath) -> None:
        """Copy a file from here."""
        self.files.put_file(str(self.folder / path), f"{self.root}/{path}")

    def remove(self, path: PurePosixPath) -> None:
        """Delete a file there, if it is there."""
        there = f"{self.root}/{path}"
        if self.files.exists(there):
            self.files.rm_file(there)

    def stamp(self) -> str:
        """The stamp there; empty if there is none."""
        there = f"{self.root}/{STAMP}"
        return self.files.cat_file(there).decode("utf-8") if self.files.exists(there) else ""


def _written(path: Path) -> int:
    """When a file was written, in nanoseconds; those that are gone count as old."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _stays_inside(path: PurePosixPath, folder: Path) -> bool:
    """Whether a name at the URL is that of a file inside of the folder, on any system and whatever links are there."""
    on_windows = PureWindowsPath(str(path))
    if not path.parts or path.is_absolute() or on_windows.anchor or ".." in on_windows.parts:
        return False
    return (folder / path).resolve().is_relative_to(folder.resolve())


def _is_passing(path: PurePath) -> bool:
    """Whether a file is a lock or a stamp, or stands in a folder that is being written or replaced."""
    return path.name in (".lock", STAMP) or any(part.endswith((".tmp", ".old")) for part in path.parts)
