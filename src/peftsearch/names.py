"""Lists of names, as users give them: a list from Python, or text with commas."""

import reprlib
from typing import Any

from peftsearch.errors import ConfigurationError


def as_names(what: str, value: Any) -> tuple[str, ...]:
    """Read a list of names.

    Args:
        what: the argument, for the message.
        value: as the user gave it.

    Raises:
        ConfigurationError: for anything else, such as text, whose letters Python would take for the names.
    """
    is_list = isinstance(value, list | tuple | set | frozenset)
    if not is_list or not all(isinstance(name, str) for name in value):
        hint = f" Write ['{value}']." if isinstance(value, str) else ""
        raise ConfigurationError(f"'{what}' is {reprlib.repr(value)}, but must be a list of names.{hint}")
    return tuple(value)


def split_names(text: str) -> list[str]:
    """The names in text with commas, without spaces around them; none from an empty one."""
    return [name.strip() for name in text.split(",") if name.strip()]
