"""Make peft know our tuner as soon as both packages are imported, without importing peft for those who don't need it.

`import peftsearch` must be quick (`peftsearch --help`), and `PeftModel.from_pretrained` must work after it. So the
tuner registers at once where peft is already imported, and right after peft's own import otherwise.
"""

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_TUNER = "peftsearch.modules.tuner"


def register_with_peft() -> None:
    """Register now, or when peft is imported; a second call changes nothing."""
    if "peft" in sys.modules:
        importlib.import_module(_TUNER)
    elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPeft())


class _AfterPeft(MetaPathFinder):
    """Finds peft as Python would, and imports our tuner once peft has run."""

    def find_spec(self, fullname: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "peft":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("peft")
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            importlib.import_module(_TUNER)

        spec.loader.exec_module = execute_and_register
        return spec
