"""What a setting may be, and one wording for every value that it may not. No torch here."""

import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peftsearch.errors import PeftSearchError


class SettingError(PeftSearchError):
    """A setting that does not exist or has a value that is not allowed."""


@dataclass(frozen=True)
class Limit:
    """What a setting may be.

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


def require(holds: bool, name: str, value: Any, allowed: str) -> None:
    """Raise a `SettingError` unless `holds`."""
    if not holds:
        raise SettingError(f"{name} is {show(value)}, but must be {allowed}.")


def show(value: Any) -> str:
    """A value in a message. Short also for one that a small YAML file makes endless by naming its parts again."""
    return reprlib.repr(value)
