"""When lanes leave a race, and which: successive halving with a paired test that keeps a close rival.

Sources: Jamieson and Talwalkar 2016 (successive halving); Birattari et al. 2002 (F-Race), which eliminates by tests
over the same instances. Ours: the shares, that a second rate of a configuration goes after the best of every other,
that a tie keeps a second lane where one would be left, while the cost allows it, and Student's test instead of one of
ranks, since lanes are judged by means (docs/results_earlier.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from scipy.stats import ttest_rel

# Share of the steps at which a rung ends, how many lanes go on (a share of those that started, or a number), the share
# of the validation examples that judge them (all of them would take as long as the first rung's steps), and for how
# many of the best configurations other rates are tried, up to there.
_RUNGS = (
    (1 / 32, 1 / 2, 1 / 4, 0),
    (1 / 16, 4, 1 / 2, 0),
    (1 / 8, 3, 1.0, 2),
    # Two configurations: one of LoRA learns slowly at first, and passes one of vectors between here and a half.
    (1 / 4, 2, 1.0, 0),
    (1 / 2, 1, 1.0, 0),
    # For a close rival at a half.
    (3 / 4, 1, 1.0, 0),
)
# Lanes that go on before the others' rates start, where there are so many: so early losses tell only the worst apart.
_FEWEST_EARLY = 4
# A lane whose losses differ from the best one's with a larger probability by chance is a close rival.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Rung:
    """The end of a rung.

    Args:
        step: optimizer steps.
        keep: number of lanes that go on at least.
        judges: share of the validation examples whose losses decide, at most.
        retried: number of the best lanes whose configurations are tried at other rates as well, up to this step.
    """

    step: int
    keep: int
    judges: float = 1.0
    retried: int = 0


@dataclass(frozen=True)
class Schedule:
    """The rungs of a race.

    Args:
        num_steps: optimizer steps of a whole training.
        num_lanes: that start, each a configuration at the first rate.
        num_rates: learning rates, the first one included.
    """

    num_steps: int
    num_lanes: int
    num_rates: int = 1

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs in order, at different steps before the last one; none for a training of one step."""
        ends: dict[int, Rung] = {}
        going = self.num_lanes
        for share, kept, judges, retried in _RUNGS:
            step = max(1, math.ceil(share * self.num_steps))
            retried = max(min(retried, going), ends[step].retried if step in ends else 0)
            joined = self.most_joining(retried)
            most = max(_FEWEST_EARLY, math.ceil(kept * self.num_lanes)) if kept < 1 else int(kept)
            # A second rate of one configuration goes on only from where rates are tried.
            keep = min(going + joined, most if retried else min(most, self.num_lanes))
            # Where nobody leaves or joins there is nothing to judge; later rungs decide on close rivals too.
            if retried or keep < going or ends:
                ends[step] = Rung(step, keep, judges, retried)
            going = keep
        return tuple(ends[step] for step in sorted(ends) if step < self.num_steps)

    def most_joining(self, retried: int) -> int:
        """The most lanes that join where so many are retried: the best one at every rate, the others at one more."""
        return retried - 1 + self.num_rates - 1 if retried and self.num_rates > 1 else 0

    def steps_left(self, *, at: int, going: int) -> int:
        """Optimizer steps of all lanes from a step to the end of the race.

        Args:
            at: the step; 0 for the start.
            going: lanes that go on from there.
        """
        total = 0
        for rung in self.rungs:
            if rung.step > at:
                joined = self.most_joining(min(rung.retried, going))
                total += going * (rung.step - at) + joined * rung.step
                at, going = rung.step, min(going + joined, rung.keep)
        return total + going * (self.num_steps - at)

    @property
    def cost(self) -> float:
        """Steps of the race without close rivals over those of one training."""
        return self.steps_left(at=0, going=self.num_lanes) / self.num_steps

    def within(self, most: float) -> "Schedule":
        """The schedule with fewer lanes, and then fewer rates, that costs at most so many trainings.

        Args:
            most: trainings, 1 or more: what one lane at one rate costs.
        """
        # In a training of one step there is nothing to compare.
        schedule = self if self.rungs else replace(self, num_lanes=1, num_rates=1)
        while schedule.cost > most and schedule.num_lanes > 1:
            schedule = replace(schedule, num_lanes=schedule.num_lanes - 1)
        while schedule.cost > most and schedule.num_rates > 1:
            schedule = replace(schedule, num_rates=schedule.num_rates - 1)
        return schedule


def survivors(
    losses: Mapping[str, Sequence[float]], keep: int, *, configurations: Mapping[str, str], may_keep_more: bool
) -> tuple[str, ...]:
    """The lanes that go on: those with the lowest mean loss, and the next one where it is a close rival of the best.

    A configuration's best lane goes before the second best of any other.

    Args:
        losses: lane -> loss of each validation example, the same examples for all; empty for a lane that broke down.
        keep: how many.
        configurations: lane -> name of its configuration, which other lanes train at other rates.
        may_keep_more: whether one more may go on.
    """
    ordered = sorted((lane for lane in losses if losses[lane]), key=lambda lane: fmean(losses[lane]))
    if not ordered:
        return tuple(losses)[:keep]
    best = {configurations[lane]: lane for lane in reversed(ordered)}
    ordered.sort(key=lambda lane: best[configurations[lane]] != lane)
    more = ordered[keep : keep + 1]
    if may_keep_more and more and is_close(losses[more[0]], losses[ordered[0]]):
        keep += 1
    return tuple(ordered[:keep])


def is_close(losses: Sequence[float], best: Sequence[float]) -> bool:
    """Whether paired losses are on average not higher than those of the best lane beyond chance (Student's t-test)."""
    differences = [own - other for own, other in zip(losses, best, strict=True)]
    if math.isclose(min(differences), max(differences)):
        return differences[0] <= 0
    tested: Any = ttest_rel(losses, best, alternative="greater")
    return bool(tested.pvalue > SIGNIFICANCE)
