"""Make peft know our tuner as soon as both packages are imported, without importing peft for those who don't need it.

`import peftsearch` must be quick (`peftsearch --help`), and `PeftModel.from_pretrained` must work after it. So the
tuner registers at once where peft is already imported, and right after peft's own import otherwise.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_TUNER = "peftsearch.modules.tuner"


def register_with_peft() -> None:
    """Register now, or when peft is imported; a second call changes nothing."""
    if "peft" in sys.modules:
        importlib.import_module(_TUNER)
    elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPeft())


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
            importlib.import_module(_TUNER)

        return execute_and_register
