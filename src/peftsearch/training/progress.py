"""Progress of a stage: a bar on terminals and in notebooks, else a line in the log now and then."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from tqdm.auto import tqdm

from peftsearch.processes import is_first

logger = logging.getLogger(__name__)

# Seconds between two lines of a stage in the log.
INTERVAL = 30.0


class Progress(Protocol):
    """Progress of one stage of a run, such as a training."""

    def update(self, count: int = 1) -> None:
        """Count steps that were done."""

    def show(self, numbers: Mapping[str, str]) -> None:
        """Put numbers beside the count, from the next update on; those of other names stay."""

    def rename(self, name: str) -> None:
        """Call the stage by another name."""

    def close(self) -> None:
        """End the stage."""


def open_progress(name: str, *, unit: str, total: int | None = None, done: int = 0) -> Progress:
    """Show a stage where the user looks: a bar if standard error is a terminal or a notebook, else log lines.

    Args:
        name: of the stage, in front of the bar or line.
        unit: what is counted, such as "step".
        total: number of them in the whole stage; None if it is not known.
        done: number of them done before.
    """
    is_seen = sys.stderr.isatty() or any(cls.__module__ == "tqdm.notebook" for cls in tqdm.__mro__)
    shows_bars = is_seen and is_first()
    return (Bar if shows_bars else Lines)(name, unit=unit, total=total, done=done)


class Bar:
    """A bar of tqdm; below another bar it disappears when it ends; arguments as in `open_progress`."""

    def __init__(self, name: str, *, unit: str, total: int | None = None, done: int = 0):
        self._bar = tqdm(total=total, initial=done, desc=name, unit=unit, dynamic_ncols=True, leave=None)
        self._numbers: dict[str, str] = {}

    def update(self, count: int = 1) -> None:
        self._bar.update(count)

    def show(self, numbers: Mapping[str, str]) -> None:
        self._numbers |= numbers
        self._bar.set_postfix(self._numbers, refresh=False)

    def rename(self, name: str) -> None:
        self._bar.set_description(name)

    def close(self) -> None:
        self._bar.close()


class Lines:
    """Lines in the log: one at the end, and before that at most one in every `INTERVAL`.

    Args:
        name: of the stage.
        unit: what is counted, such as "step".
        total: number of them in the whole stage; None if it is not known.
        done: number of them done before.
        clock: returns seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        unit: str,
        total: int | None = None,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.name, self.unit, self.total = name, unit, total
        self._first = self._done = done
        self._clock = clock
        self._started = self._said = clock()
        self._numbers: dict[str, str] = {}

    def update(self, count: int = 1) -> None:
        self._done += count
        if self._clock() - self._said >= INTERVAL:
            self._said = self._clock()
            self._say(self._remaining())

    def show(self, numbers: Mapping[str, str]) -> None:
        self._numbers |= numbers

    def rename(self, name: str) -> None:
        self.name = name

    def close(self) -> None:
        self._say([f"ended after {tqdm.format_interval(self._clock() - self._started)}"])

    def _remaining(self) -> list[str]:
        elapsed, steps = self._clock() - self._started, self._done - self._first
        if not self.total or not steps:
            return []
        return [f"{tqdm.format_interval(elapsed / steps * (self.total - self._done))} left"]

    def _say(self, times: list[str]) -> None:
        counted = f"{self._done} {self.unit}s" if self.total is None else f"{self._done} of {self.total} {self.unit}s"
        numbers = [f"{name} {value}" for name, value in self._numbers.items()]
        logger.info("%s: %s", self.name, ", ".join([counted, *numbers, *times]))
