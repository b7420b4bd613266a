"""Allowed values of every setting, checked before a run starts. No torch here."""

import math
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


def between(low: int, high: int) -> Limit:
    """Numbers from `low` to `high`, both included."""
    return Limit(lambda value: low <= value <= high, f"from {low} to {high}")


def one_of(*names: str) -> Limit:
    """One of a few names."""
    return Limit(lambda value: value in names, f"one of {', '.join(names)}")


ABOVE_ZERO = Limit(lambda value: 0 < value < math.inf, "above 0")
SHARE_BELOW_ONE = Limit(lambda value: 0 <= value < 1, "from 0 to below 1")

# Schedules of transformers that need no settings of their own.
_SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)

RUN = {"seed": between(0, 2**31 - 1), "seeds": at_least(1), "max_train_samples": at_least(0)}

TRAINING = {
    "learning_rate": ABOVE_ZERO,
    "num_train_epochs": ABOVE_ZERO,
    "per_device_train_batch_size": at_least(1),
    "per_device_eval_batch_size": at_least(1),
    "gradient_accumulation_steps": at_least(1),
    "lr_scheduler_type": one_of(*_SCHEDULES),
    "warmup_steps": at_least(0),
    "weight_decay": at_least(0),
    "max_grad_norm": at_least(0),
    "max_seq_length": at_least(0),
    "bf16": one_of("auto", "true", "false"),
}

METHOD = {
    # BIPEFT
    "max_triggers": at_least(1),
    "decay": SHARE_BELOW_ONE,
    "window": at_least(1),
    "threshold": between(-1, 1),
    "warmup": at_least(0),
    "weight_warmup": at_least(0),
    "learning_rate": ABOVE_ZERO,
    "weight_decay": at_least(0),
    "regularisation": at_least(0),
    "temperature_start": ABOVE_ZERO,
    "temperature_end": ABOVE_ZERO,
    "epochs": at_least(0),
    "order": one_of("iterative", "binary_then_rank", "rank_then_binary", "entangled"),
    "sampling": one_of("gumbel", "softmax"),
    "selection": one_of("early", "final"),
    "sensitivity": one_of("cosine", "trn", "val", "trn+val"),
    # manual configurations
    "rank": at_least(0),
}

LIMITS = {"": RUN, "training.": TRAINING, "method.": METHOD}


def check_limits(prefix: str, settings: object) -> None:
    """Refuse values that no run could use.

    Args:
        prefix: "" for the run's own settings, "training." or "method.".
        settings: the settings object; names without a limit are free.

    Raises:
        SettingError: naming the setting, its value and what is allowed.
    """
    for name, limit in LIMITS[prefix].items():
        if hasattr(settings, name):
            value = getattr(settings, name)
            require(limit.holds(value), prefix + name, value, limit.words)


def require(holds: bool, name: str, value: Any, allowed: str) -> None:
    """Raise a `SettingError` unless `holds`."""
    if not holds:
        raise SettingError(f"{name} is {value!r:.200}, but must be {allowed}.")
