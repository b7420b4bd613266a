"""Base of all settings: their limits, and how to make them from plain data. No torch here."""

import math
import os
import reprlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from peftsearch.errors import PeftSearchError
from peftsearch.files import read_limited

# No settings file is as large.
_MAX_YAML_BYTES = 1_000_000
# Where a field's metadata keep its limit.
_LIMIT = "limit"

Value = TypeVar("Value")


class SettingError(PeftSearchError):
    """A setting that does not exist or has a value that is not allowed."""


@dataclass(frozen=True)
class Limit:
    """The allowed values of a setting.

    Args:
        holds: whether a value is allowed; not a number and infinity never are.
        words: what is allowed, to follow "must be" in a message.
    """

    holds: Callable[[Any], bool]
    words: str


def at_least(low: int) -> Limit:
    """Numbers from `low`."""
    return Limit(lambda value: low <= value < math.inf, f"{low} or more")


def between(low: float, high: float) -> Limit:
    """Numbers from `low` to `high`, both included."""
    return Limit(lambda value: low <= value <= high, f"from {low} to {high}")


def one_of(*names: str) -> Limit:
    """One of a few names."""
    return Limit(lambda value: value in names, f"one of {', '.join(names)}")


ABOVE_ZERO = Limit(lambda value: 0 < value < math.inf, "above 0")
SHARE = Limit(lambda value: 0 < value <= 1, "above 0 and at most 1")
SHARE_BELOW_ONE = Limit(lambda value: 0 <= value < 1, "from 0 to below 1")


def limited(default: Value, limit: Limit) -> Value:
    """A field of a settings class with its default and its limit.

    Example:
        `rank: int = limited(0, at_least(0))`
    """
    return field(default=default, metadata={_LIMIT: limit})


@dataclass(frozen=True)
class Settings:
    """Base of settings, which are frozen dataclasses: none can be made with a value out of its field's limit.

    A subclass that checks more in `__post_init__` calls this one first.
    """

    # Stands before the settings' names in messages, such as "training.".
    PREFIX: ClassVar[str] = ""
    # Name of a preset -> the settings that it gives where the user gives none; for classes with a field `preset`.
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        for setting in fields(self):
            limit, value = setting.metadata.get(_LIMIT), getattr(self, setting.name)
            if limit is not None:
                require(limit.holds(value), self.PREFIX + setting.name, value, limit.words)


def require(holds: bool, name: str, value: Any, allowed: str) -> None:
    """Raise a `SettingError` unless `holds`."""
    if not holds:
        raise SettingError(f"{name} is {show(value)}, but must be {allowed}.")


def show(value: Any) -> str:
    """Shorten a value's `repr` for a message, since aliases in a small YAML file can make it endless."""
    return reprlib.repr(value)


Made = TypeVar("Made", bound=Settings)


def build_settings(settings_class: type[Made], values: Any) -> Made:
    """Make a settings object from plain data.

    Args:
        settings_class: of the object.
        values: a mapping of names to values; None for the defaults. With the name of a preset under "preset", the
            preset's values stand where no others are given.

    Raises:
        SettingError: for a name that the class does not have, or a value that is not allowed.
    """
    prefix = settings_class.PREFIX
    values = as_mapping(prefix.rstrip("."), values or {})
    values = {**settings_class.PRESETS.get(str(values.get("preset")), {}), **values}
    known = {f.name: f.type for f in fields(settings_class)}
    for name in values:
        if name not in known:
            nearest = get_close_matches(str(name), known, n=1)
            hint = f" Did you mean '{prefix}{nearest[0]}'?" if nearest else ""
            raise SettingError(f"Unknown setting '{prefix}{name}'.{hint} Known: {', '.join(sorted(known))}.")
    return settings_class(**{name: _typed(prefix + name, value, known[name]) for name, value in values.items()})


def as_mapping(name: str, value: Any) -> dict[str, Any]:
    """The value as settings by name.

    Raises:
        SettingError: if it is no mapping.
    """
    if not isinstance(value, Mapping):
        raise SettingError(f"'{name}' is {show(value)}, but must be a mapping of settings.")
    return dict(value)


_TYPES = {"str": str, "int": int, "float": float, "bool": bool, str: str, int: int, float: float, bool: bool}
_WORDS = {int: "whole number", float: "number"}


def _typed(name: str, value: Any, annotation: Any) -> Any:
    """Check a value against its field's type; numbers may be written as text, as YAML does with 1e-3."""
    optional_text = str(annotation) in ("str | None", "typing.Optional[str]")
    if is_dataclass(value) or (value is None and optional_text):
        return value
    if str(annotation) == "float | str":
        return _number_or_text(name, value)
    wanted = str if optional_text else _TYPES[annotation]
    if wanted is str:
        return _text(name, value)
    if wanted is bool:
        require(isinstance(value, bool), name, value, "true or false")
        return value
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    require(not math.isnan(number) and (wanted is float or number.is_integer()), name, value, f"a {_WORDS[wanted]}")
    return wanted(number)


def _number_or_text(name: str, value: Any) -> float | str:
    text = _text(name, value)
    try:
        return float(text)
    except ValueError:
        return text


def _text(name: str, value: Any) -> str:
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    require(not isinstance(value, bool), name, value, "text (in YAML, write it in quotes)")
    require(isinstance(value, str | int | float), name, value, "text")
    text = str(value)
    # Neither can be in the name of a file, and settings are names of files more often than not.
    is_plain = "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
    require(is_plain, name, value, "text without zero bytes and halves of surrogate pairs")
    return text


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        SettingError: if it is missing, not YAML, or not a mapping.
    """
    try:
        document = yaml.safe_load(read_limited(Path(path), max_bytes=_MAX_YAML_BYTES))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"Cannot read the settings file '{path}': {str(error).splitlines()[0]}.") from error
    return as_mapping(str(path), document or {})


def find_differences(
    then: Mapping[str, Any], now: Mapping[str, Any], *, ignored: Collection[str] = (), prefix: str = ""
) -> list[str]:
    """Describe the settings that differ, each by its full name.

    Args:
        then: earlier settings, nested as in a settings file.
        now: later ones.
        ignored: full names of settings that may differ.
        prefix: of the names, such as "training.".
    """
    found = []
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += find_differences(before, after, ignored=ignored, prefix=f"{prefix}{name}.")
        elif before != after and prefix + name not in ignored:
            found.append(f"{prefix}{name}: was {before!r}, is {after!r}")
    return found
