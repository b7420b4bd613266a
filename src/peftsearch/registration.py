"""Make peft know our tuner as soon as both packages are imported, without importing peft for those who don't need it.

`import peftsearch` must be quick (`peftsearch --help`), and `PeftModel.from_pretrained` must work after it. So the
tuner registers at once where peft is already imported, and right after peft's own import otherwise. The tuner uses
parts of peft that peft may change in any version, so other versions of peft are refused then.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import requires, version
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

from peftsearch.errors import VersionError

_TUNER = "peftsearch.modules.tuner"


def register_with_peft() -> None:
    """Register now, or when peft is imported; a second call changes nothing.

    Raises:
        VersionError: now or then, for a peft outside the range that peftsearch is made for.
    """
    if "peft" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPeft())


def _register() -> None:
    _check_peft_version()
    importlib.import_module(_TUNER)


def _check_peft_version() -> None:
    needed = next(r for r in map(Requirement, requires("peftsearch") or ()) if r.name == "peft")
    if not needed.specifier.contains(version("peft"), prereleases=True):
        raise VersionError(
            f"peft {version('peft')} is installed, but this peftsearch works with peft{needed.specifier} only. "
            f"Run: pip install '{needed}'"
        )


class _AfterPeft(MetaPathFinder):
    """Finds peft as Python would, and imports our tuner once peft has run.

    Libraries also look for peft without importing it, so the finder stays until peft really runs.
    """

    def __init__(self) -> None:
        self._is_asking = False

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "peft" or self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = importlib.util.find_spec("peft")
        finally:
            self._is_asking = False
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._then_register(spec.loader.exec_module)
        return spec

    def _then_register(self, execute: Callable[[ModuleType], None]) -> Any:
        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register()

        return execute_and_register
