"""One file for each export format; every file here is imported, so that a new format is a new file alone."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
