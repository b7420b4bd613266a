"""The registries of everything that can be added: kinds, families, spaces, encodings, tasks, methods, exports."""

import logging
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from threading import RLock
from typing import Generic, TypeVar

from peftsearch.errors import UnknownNameError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Registry(Generic[T]):
    """Named entries of one sort: built-in ones, those of installed packages, and what a program adds itself.

    On the first look into a registry every module of its own package is imported, and every entry point that an
    installed package declares for it. Importing a module registers what it defines.

    Args:
        what: sort of entry in the words of an error message, such as "module kind".
        package: dotted name of the package, or of the one module, that holds the built-in entries.
        group: name of the entry points of other packages, such as "peftsearch.kinds".

    Example:
        KINDS = Registry("module kind", package="peftsearch.modules.kinds", group="peftsearch.kinds")
        KINDS.add("lora", Lora)
        KINDS["lora"]
    """

    def __init__(self, what: str, *, package: str, group: str):
        self.what, self.package, self.group = what, package, group
        self._entries: dict[str, T] = {}
        self._is_filled = self._is_filling = False
        self._lock = RLock()

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name` and return it.

        Raises:
            ValueError: for a name that is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.what} '{name}' is registered twice.")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        self._fill()
        if name not in self._entries:
            raise UnknownNameError(self.what, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._fill()
        return len(self._entries)

    def _fill(self) -> None:
        if self._is_filled:
            return
        with self._lock:
            # What is imported may look into the registry itself.
            if self._is_filled or self._is_filling:
                return
            self._is_filling = True
            try:
                self._import_built_in()
                for entry_point in entry_points(group=self.group):
                    self._load(entry_point)
                self._is_filled = True
            finally:
                self._is_filling = False

    def _import_built_in(self) -> None:
        package = import_module(self.package)
        for module in iter_modules(getattr(package, "__path__", ())):
            import_module(f"{self.package}.{module.name}")

    def _load(self, entry_point: EntryPoint) -> None:
        """Import an installed package's entry point; a broken one is left out with a warning."""
        before = dict(self._entries)
        try:
            entry_point.load()
        except Exception as error:  # whatever another package does when it is imported
            self._entries = before
            _warn(entry_point, error)


def _warn(entry_point: EntryPoint, error: Exception) -> None:
    owner = entry_point.dist.name if entry_point.dist else "an installed package"
    logger.warning(
        "'%s' cannot add '%s' to %s: %s: %s. What it adds is left out; update or uninstall it.",
        *(owner, entry_point.value, entry_point.group, type(error).__name__, error),
    )
