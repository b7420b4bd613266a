"""One torch-free file for each method; every file here is imported, so that --help and `list` are quick."""

from importlib import import_module
from pkgutil import iter_modules

from peftsearch.methods.settings.entry import METHODS, Driver, MethodEntry, MethodSettings

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["METHODS", "Driver", "MethodEntry", "MethodSettings"]
