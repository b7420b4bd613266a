"""One small registry, used for kinds, families, spaces, tasks and methods."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from peftsearch.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Named entries of one sort; looking up a wrong name says which names exist.

    Args:
        what: the sort of entry in the words of an error message, such as "module kind".
    """

    def __init__(self, what: str):
        self.what = what
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`; a name is given once."""
        if name in self._entries:
            raise ValueError(f"{self.what} '{name}' is registered twice.")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise UnknownNameError(self.what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
