"""One file for each source of built-in tasks; every file here is imported, so that a new one is a new file."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
