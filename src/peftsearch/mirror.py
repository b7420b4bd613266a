"""A copy of a folder in object storage or elsewhere, through fsspec. No torch here."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from peftsearch.errors import StorageError


@dataclass(frozen=True)
class Mirror:
    """A copy of a folder at a URL, which is read where the folder lacks something and written piece by piece.

    Files of a piece are copied in the order in which they were written, so that a file that says that others are
    complete arrives after them. Nothing outside the folder is written, whatever the names at the URL are.

    Args:
        folder: here; need not exist.
        url: of its copy, as s3://bucket/name, gs://, abfs://, sftp://, file://; fsspec lists them. Empty for no copy:
            then nothing is ever copied.
    """

    folder: Path
    url: str = ""

    def names(self) -> list[str]:
        """Paths of the files of the copy, from the folder on; none where there is no copy.

        Raises:
            StorageError: if the copy cannot be read.
        """
        if not self.url:
            return []
        with self._opened("read") as (store, root):
            return [str(path) for path in self._below(store, root, ".")]

    def fetch(self, part: str = ".") -> None:
        """Copy what the folder lacks; what it has stays as it is.

        Args:
            part: a folder below the folder.

        Raises:
            StorageError: if the copy cannot be read.
        """
        if not self.url:
            return
        with self._opened("read") as (store, root):
            found = {path: self.folder / path for path in self._below(store, root, part)}
            lacking = {path: here for path, here in found.items() if not here.exists()}
            # A file of results says that a run has ended.
            for path, here in sorted(lacking.items(), key=lambda item: item[0].name == "results.json"):
                here.parent.mkdir(parents=True, exist_ok=True)
                arriving = here.with_name(here.name + ".tmp")
                store.get_file(f"{root}/{path}", str(arriving))
                arriving.replace(here)

    def complete(self) -> None:
        """Copy what the URL lacks; what it has stays as it is.

        Raises:
            StorageError: if the copy cannot be written.
        """
        if not self.url:
            return
        with self._opened("write") as (store, root):
            there = {path.as_posix() for path in self._below(store, root, ".")}
            self._put(store, root, [p for p in self._here(".") if p.relative_to(self.folder).as_posix() not in there])

    def send(self, part: str = ".") -> None:
        """Make the copy of a folder below the folder equal to it.

        Args:
            part: the folder below.

        Raises:
            StorageError: if the copy cannot be written.
        """
        if not self.url:
            return
        here = self._here(part)
        with self._opened("write") as (store, root):
            names = {path.relative_to(self.folder).as_posix() for path in here}
            for path in self._below(store, root, part):
                if path.as_posix() not in names:
                    store.rm_file(f"{root}/{path}")
            self._put(store, root, here)

    def send_files(self, paths: Iterable[Path]) -> None:
        """Copy some files of the folder.

        Raises:
            StorageError: if they cannot be written.
        """
        if self.url:
            with self._opened("write") as (store, root):
                self._put(store, root, paths)

    def _here(self, part: str) -> list[Path]:
        """The files of a part of the folder."""
        found = (path for path in (self.folder / part).rglob("*") if path.is_file())
        return [path for path in found if not _is_passing(path.relative_to(self.folder))]

    def _put(self, store: Any, root: str, paths: Iterable[Path]) -> None:
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
            there = f"{root}/{path.relative_to(self.folder).as_posix()}"
            store.makedirs(there.rpartition("/")[0], exist_ok=True)
            store.put_file(str(path), there)

    def _below(self, store: Any, root: str, part: str) -> Iterator[PurePosixPath]:
        """Paths of the files of a part of the copy, from the folder on; names that lead out of it are left out."""
        start = root if part == "." else f"{root}/{part}"
        for path in store.find(start):
            relative = PurePosixPath(str(path).removeprefix(root).lstrip("/"))
            if ".." not in relative.parts and not _is_passing(relative):
                yield relative

    @contextmanager
    def _opened(self, what: str) -> Iterator[tuple[Any, str]]:
        """The storage and the path of the copy in it; whatever goes wrong there is a `StorageError`."""
        import fsspec

        try:
            store, root = fsspec.url_to_fs(self.url)
            # What another machine has written since must be seen.
            store.invalidate_cache()
            yield store, root.rstrip("/")
        except ImportError as error:
            raise StorageError(f"Cannot {what} '{self.url}': {error}.") from error
        except Exception as error:  # each storage has errors of its own
            raise StorageError(
                f"Cannot {what} '{self.url}': {type(error).__name__}: {error}. Check the URL and your rights there; "
                "the same command goes on from what is there."
            ) from error


def _is_passing(path: PurePath) -> bool:
    """Whether a file is a lock, or stands in a folder that is being written or replaced."""
    return path.name == ".lock" or any(part.endswith((".tmp", ".old")) for part in path.parts)
