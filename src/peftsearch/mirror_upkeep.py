"""Keep the copy of a folder up to date while something works in the folder. No torch here."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from peftsearch.errors import StorageError
from peftsearch.mirror import Mirror

logger = logging.getLogger(__name__)

# Seconds between two looks at the folder.
EVERY = 30.0


@contextmanager
def kept_up(mirror: Mirror, *, every: float = EVERY) -> Iterator[None]:
    """Copy what changes in a folder while the context lasts, and at its end, however that comes.

    Storage that cannot be reached for a while delays the copy, not the work.

    Args:
        mirror: of the folder, in which nobody else works.
        every: seconds between two looks.

    Raises:
        StorageError: if the copy cannot be made at the start, or completed at the end of work that went well.
    """
    if not mirror.url:
        yield
        return
    mirror.send()
    changes, ended = _Changes(mirror), threading.Event()

    def look() -> None:
        while not ended.wait(every):
            changes.try_to_send()

    thread = threading.Thread(target=look, name="mirror", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        _end(thread, ended)
        changes.try_to_send()
        raise
    _end(thread, ended)
    changes.send()


def _end(thread: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    thread.join()


class _Changes:
    """What has changed in a folder since its copy was last like it.

    Args:
        mirror: of the folder, as it is now.
    """

    def __init__(self, mirror: Mirror):
        self.mirror, self._sent = mirror, _states(mirror, mirror.files())

    def try_to_send(self) -> None:
        """Send the changes; where that fails it is left to the next time."""
        try:
            self.send()
        except StorageError as error:
            logger.warning("%s The run goes on, and its copy is tried again.", error)

    def send(self) -> None:
        """Send the changes.

        Raises:
            StorageError: if they cannot be written.
        """
        found = _states(self.mirror, self._settled())
        gone = self._sent.keys() - found.keys()
        changed = [path for path, state in found.items() if self._sent.get(path) != state]
        if not gone and not changed:
            return
        with self.mirror.opened("write") as store:
            self.mirror.mark(store)
            # Before anything is written: a training that starts again must not find those of its first start.
            for path in sorted([*gone, *filter(_is_of_checkpoint, changed)]):
                store.remove(path)
                self._sent.pop(path, None)
            store.put(changed)
        self._sent |= {path: found[path] for path in changed}

    def _settled(self) -> set[PurePosixPath]:
        """The files, none of which came or went while they were listed.

        Else one could be listed without another that was written before it.
        """
        files = self.mirror.files()
        while (again := self.mirror.files()) != files:
            files = again
        return files


def _is_of_checkpoint(path: PurePosixPath) -> bool:
    return any(part.startswith("step-") for part in path.parts)


def _states(mirror: Mirror, paths: set[PurePosixPath]) -> dict[PurePosixPath, tuple[int, int]]:
    """Path -> when it was written and its size, of the files that are still there."""
    states = {}
    for path in paths:
        try:
            stat = (mirror.folder / path).stat()
        except FileNotFoundError:
            continue
        states[path] = stat.st_mtime_ns, stat.st_size
    return states
