"""The folder of a run: which process may write to it, and its JSON files."""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peftsearch.errors import RunFolderError, StorageError
from peftsearch.files import read_limited, write_json
from peftsearch.mirror import STAMP, Mirror
from peftsearch.space import Site

LOCK = ".lock"
# Files by which a folder is known as that of a run, of one that failed in a comparison, or of a comparison.
_KNOWN_BY = ("config.yaml", "failed.json", "comparison.yaml")
# Record of the splits: rule, seed, sizes, and a fingerprint of each one's examples.
SPLITS = "split.json"
# No document of a run is as large.
_MAX_BYTES = 100_000_000


def check_run_folder(path: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that a run may write to the folder, without touching it.

    Args:
        path: may be missing.
        resume: whether the run goes on with the one in the folder.
        overwrite: whether a run in the folder may be deleted.

    Raises:
        RunFolderError: if it holds files and neither `resume` nor `overwrite` is set, if it holds no run to resume or
            to overwrite, or if it is a file.
    """
    if not list_content(path):
        return
    if resume:
        if not (path / "config.yaml").is_file():
            raise RunFolderError(
                f"There is no run in '{path}' to go on with: it has no config.yaml. Give a run's folder with --output."
            )
        return
    if not overwrite:
        raise RunFolderError(
            f"The output folder '{path}' is not empty. Continue that run with --resume, replace it with "
            "--overwrite, or give another folder with --output."
        )
    _refuse_foreign_folder(path)


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Lock an output folder for this process; it is made if it is missing.

    The lock is the system's and ends with the process, however that ends; the lock file alone means nothing.

    Args:
        path: the output folder.

    Raises:
        StorageError: if the folder cannot be made or written to.
        RunFolderError: if another process runs in it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise RunFolderError(
            f"Another process runs in the output folder '{path}'. Wait for it, or give another folder with --output."
        ) from error
    except OSError as error:
        raise StorageError(f"Cannot write to the output folder '{path}': {error.strerror or error}.") from error
    try:
        yield
    finally:
        lock.release()


def bring_folder(copy: Mirror, *, overwrite: bool = False) -> None:
    """Bring an output folder from its copy where another machine has gone on with it, before anything is checked.

    Args:
        copy: at a URL, or none.
        overwrite: whether the copy will be replaced, so that nothing needs to be brought.

    Raises:
        StorageError: if the copy cannot be read.
        RunFolderError: if another process runs in the folder, or the URL holds what no run or comparison left there,
            since files are deleted there too.
    """
    check_copy(copy)
    if copy.url and not overwrite:
        with alone_in(copy.folder):
            copy.bring()


def check_copy(copy: Mirror) -> None:
    """Refuse a copy at a URL that holds anything but a run or a comparison.

    Raises:
        StorageError: if it cannot be read.
        RunFolderError: for files that neither left there.
    """
    names = copy.names()
    if names and not set(names) & set(_KNOWN_BY):
        raise RunFolderError(
            f"'{copy.url}' holds {len(names):,} files, such as '{names[0]}', and neither a run (it has no config.yaml)"
            f" nor a comparison. Give --mirror a place of its own, such as '{copy.url.rstrip('/')}/run'."
        )


def make_run_folder(path: Path, *, resume: bool) -> None:
    """Empty the folder, inside of `alone_in`, unless the run is resumed.

    Raises:
        StorageError: if it cannot be emptied.
    """
    if resume:
        return
    try:
        # What says whose folder this is goes last.
        for child in sorted(list_content(path), key=lambda child: child.name in ("config.yaml", "comparison.yaml")):
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    except OSError as error:
        raise StorageError(f"Cannot empty the output folder '{path}': {error}.") from error


def list_content(path: Path) -> list[Path]:
    """List what an output folder holds beside its lock and its mirror's stamp; nothing where there is no folder yet.

    Raises:
        RunFolderError: if it is a file.
    """
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"The output '{path}' is a file. Give a folder with --output.")
    return [child for child in path.iterdir() if child.name not in (LOCK, STAMP)] if path.exists() else []


def _refuse_foreign_folder(path: Path) -> None:
    """`--overwrite` deletes runs, never a folder that something else made."""
    if not (path / "config.yaml").is_file():
        raise RunFolderError(
            f"The folder '{path}' does not hold a run (it has no config.yaml), so --overwrite leaves it alone. "
            "Give another folder with --output."
        )


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunFolderError: if it is missing or malformed.
    """
    try:
        return json.loads(read_limited(path, max_bytes=_MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(f"Cannot read '{path}': {error}. Is '{path.parent}' a finished run folder?") from error


def write_sites(path: Path, sites: Iterable[Site]) -> None:
    """Write every site of a model as a JSON row, with its name."""
    write_json(path, [asdict(site) | {"name": site.name} for site in sites])


def read_sites(path: Path) -> list[Site]:
    """Read what `write_sites` wrote.

    Raises:
        RunFolderError: if it is missing or malformed.
    """
    rows = read_json(path)
    try:
        return [Site.from_dict(row) for row in rows]
    except (AttributeError, TypeError, ValueError) as error:
        raise RunFolderError(f"Cannot read the sites in '{path}': {error}.") from error
