"""When lanes leave a race, and which: successive halving with a paired test that keeps a close rival.

Sources: Jamieson and Talwalkar 2016 (successive halving); Birattari et al. 2002 (F-Race), which eliminates by tests
over the same instances. Ours: the shares, and that a tie keeps one lane more only while the cost allows it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from scipy.stats import wilcoxon

# Share of the steps at which a rung ends, how many lanes go on (a share of those that started, or a number), and the
# share of the validation examples that judge them: all of them would take as long as the first rung's steps.
_RUNGS = ((1 / 32, 1 / 2, 1 / 4), (1 / 16, 4, 1 / 2), (1 / 8, 2, 1.0), (1 / 4, 1, 1.0), (1 / 2, 1, 1.0))
# Judges at least, where there are so many.
FEWEST_JUDGES = 128
# A lane whose losses differ from the best one's with a larger probability by chance is a close rival.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Rung:
    """The end of a rung.

    Args:
        step: optimizer steps.
        keep: number of lanes that go on at least.
        judges: share of the validation examples whose losses decide.
    """

    step: int
    keep: int
    judges: float = 1.0

    def num_judges(self, count: int) -> int:
        """The number of validation examples that decide, of so many."""
        return min(count, max(FEWEST_JUDGES, math.ceil(self.judges * count)))


def rungs_of(num_steps: int, num_lanes: int) -> tuple[Rung, ...]:
    """The rungs of a race, in order, at different steps before the last one; none for a training of one step.

    Args:
        num_steps: optimizer steps of a whole training.
        num_lanes: that start.
    """
    ends: dict[int, Rung] = {}
    keep = num_lanes
    for share, kept, judges in _RUNGS:
        keep = min(keep, math.ceil(kept * num_lanes) if kept < 1 else int(kept))
        step = max(1, math.ceil(share * num_steps))
        ends[step] = Rung(step, keep, judges)
    return tuple(ends[step] for step in sorted(ends) if step < num_steps)


def steps_left(rungs: Sequence[Rung], num_steps: int, *, at: int, going: int) -> int:
    """Optimizer steps of all lanes from a step to the end of the race.

    Args:
        rungs: of the race.
        num_steps: optimizer steps of a whole training.
        at: the step; 0 for the start.
        going: lanes that go on from there.
    """
    total = 0
    for rung in rungs:
        if rung.step > at:
            total, at, going = total + going * (rung.step - at), rung.step, min(going, rung.keep)
    return total + going * (num_steps - at)


def cost_in_trainings(num_steps: int, num_lanes: int) -> float:
    """Steps of a race without close rivals over those of one training."""
    return steps_left(rungs_of(num_steps, num_lanes), num_steps, at=0, going=num_lanes) / num_steps


def affordable_lanes(num_steps: int, num_lanes: int, most: float) -> int:
    """The largest number of lanes whose race costs at most so many trainings; at least 1."""
    while num_lanes > 1 and cost_in_trainings(num_steps, num_lanes) > most:
        num_lanes -= 1
    return num_lanes


def survivors(losses: Mapping[str, Sequence[float]], keep: int, *, may_keep_more: bool) -> tuple[str, ...]:
    """The lanes that go on: those with the lowest mean loss, and the next one where it is a close rival of the best.

    Args:
        losses: lane -> loss of each validation example, the same examples for all; empty for a lane that broke down.
        keep: how many.
        may_keep_more: whether one more may go on.
    """
    ordered = sorted((lane for lane in losses if losses[lane]), key=lambda lane: fmean(losses[lane]))
    if not ordered:
        return tuple(losses)[:keep]
    more = ordered[keep : keep + 1]
    if may_keep_more and more and is_close(losses[more[0]], losses[ordered[0]]):
        keep += 1
    return tuple(ordered[:keep])


def is_close(losses: Sequence[float], best: Sequence[float]) -> bool:
    """Whether paired losses cannot be told from those of the best lane (Wilcoxon's signed-rank test)."""
    differences = [own - other for own, other in zip(losses, best, strict=True)]
    if not any(differences):
        return True
    tested: Any = wilcoxon(differences, alternative="greater")
    return bool(tested.pvalue > SIGNIFICANCE)
