"""One file for each coding; every file here is imported."""

from importlib import import_module
from pkgutil import iter_modules

from peftsearch.space.coding import CODINGS

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["CODINGS"]
