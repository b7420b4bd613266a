"""Which learning rates a race tries: upwards from the one at which it starts while that helps, otherwise downwards."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class RaceRates:
    """The learning rates of a race.

    Args:
        first: at which every lane starts.
        above: the higher ones, ascending.
        below: the lower ones, descending.
        count: how many are tried at most, the first one included.
    """

    first: float
    above: tuple[float, ...]
    below: tuple[float, ...]
    count: int

    @classmethod
    def doubling(cls, first: float, count: int) -> "RaceRates":
        """So many rates at most, each twice the next lower one; fewer lie below: early losses flatter low ones."""
        above = tuple(first * 2**i for i in range(1, count))
        below = tuple(first / 2**i for i in range(1, (count - 1) // 2 + 1))
        return cls(first, above, below, count)

    @classmethod
    def of_grid(cls, first: float, grid: Iterable[float]) -> "RaceRates":
        """The rates that a user names, all of which may be tried."""
        rates = sorted(grid)
        above, below = (rate for rate in rates if rate > first), (rate for rate in reversed(rates) if rate < first)
        return cls(first, tuple(above), tuple(below), len(rates))

    def at_most(self, count: int) -> "RaceRates":
        """The same, of which fewer may be tried."""
        count = min(count, self.count)
        return replace(self, count=count, above=self.above[: count - 1], below=self.below[: count - 1])

    @property
    def plan(self) -> str:
        """Say in words which other rates the best lane is tried at; empty where there is none."""
        if self.count == 1 or not (self.above or self.below):
            return ""
        if not self.above:
            return f", the best also at {_listed(self.below)} while that helps"
        otherwise = f", otherwise at {_listed(self.below)}" if self.below and self.count > 2 else ""
        return f", the best also at {_listed(self.above)} while that helps{otherwise}"

    def next(self, losses: Mapping[float, float]) -> float | None:
        """The rate to try next; None where there is none left, or the last one did not help.

        Args:
            losses: rate -> mean loss of those that were tried, the first one among them; infinite for a lane that
                broke down.
        """
        if len(losses) >= self.count:
            return None
        best = min(losses, key=losses.__getitem__)
        works = math.isfinite(losses[best])
        if works and best == max(losses) and (higher := [rate for rate in self.above if rate > best]):
            return higher[0]
        # Also of several that broke down.
        best = best if works else min(losses)
        if best == min(losses) and (lower := [rate for rate in self.below if rate < best]):
            return lower[0]
        return None


def _listed(rates: Iterable[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)
