"""The command that repeats a run, from its settings: a run from Python or a YAML file has one too."""

import shlex
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from peftsearch.run.config import HOW_TO_START, RunConfig

_FILES = ("model", "data", "data_dir", "configuration")


def command_of(verb: str, config: RunConfig) -> str:
    """A command line with every setting that is not the default.

    Absolute paths are shortened to "path/to/NAME", since the line is published with the adapter.

    Args:
        verb: "search" or "train".
        config: settings of the run.
    """
    flags = _changed(config, skip=(*HOW_TO_START, "method_name"))
    flags = {name: _shown(value) if name in _FILES else value for name, value in flags.items()}
    if verb == "search":
        flags["method"] = config.method_name
    flags |= {f"method.{name}": value for name, value in _changed(config.method).items()}
    flags |= {f"training.{name}": value for name, value in _changed(config.training).items()}
    return shlex.join(["peftsearch", verb, *(word for name, value in flags.items() for word in _flag(name, value))])


def _changed(settings: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Settings that differ from their defaults, without nested groups."""
    return {
        field.name: value
        for field in fields(settings)
        if (value := getattr(settings, field.name)) != field.default
        and field.name not in skip
        and not is_dataclass(value)
    }


def _flag(name: str, value: Any) -> tuple[str, str]:
    return f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)


def _shown(paths: Any) -> str:
    return ",".join(shorten_path(path) for path in str(paths).split(","))


def shorten_path(path: str) -> str:
    """Shorten an absolute path to "path/to/NAME", and leave other text as it is."""
    is_absolute = Path(path.strip()).expanduser().is_absolute()
    return f"path/to/{Path(path.strip()).name}" if is_absolute else path
