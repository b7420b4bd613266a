"""Successive halving of learning rates: several start on one schedule, and those with the higher losses leave early.

Source: Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
algorithm 1. Ours: two rounds at fixed shares of the steps; a survivor goes on from where it stands, so that no step is
paid twice; the neighbour above the best rate survives the first round too, and all do where nothing tells them apart;
two that are close after the second go on for a while (docs/results_starts.md says why); higher ones join in the first
round where the highest leads; a rate is judged by its lowest loss so far, so that a training that has fallen back to
guessing, and stays there, does not pass one whose loss goes up and down below it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Share of the steps at which a round ends, and how many rates go on from there.
ROUNDS = ((1 / 8, 2), (1 / 4, 1))
# Rates whose losses differ by no more than this factor are close: all of them after the first round, they go on to the
# next one; two of them after the last round, they go on to this share of the steps.
CLOSE, CLOSE_SHARE = 1.05, 0.45
# In trainings, of the rates that start.
MAX_COST = 1.6
# Rates above the highest one that are tried at most, each for the steps of the first round.
MOST_HIGHER = 2


@dataclass(frozen=True)
class Round:
    """The end of a round: the optimizer step, and the number of rates that go on."""

    step: int
    keep: int


def rounds_of(num_steps: int) -> tuple[Round, ...]:
    """The rounds of a training, in order; the last keeps one rate.

    Args:
        num_steps: optimizer steps of the whole training.

    Returns:
        rounds that end at different steps before the last one; none for a training of one step.
    """
    ends = {max(1, math.ceil(share * num_steps)): keep for share, keep in ROUNDS}
    return tuple(Round(step, keep) for step, keep in sorted(ends.items()) if step < num_steps)


def survivors(losses: Mapping[float, float], keep: int) -> tuple[float, ...]:
    """The rate with the lowest loss and the ones above it, ascending; those below it where there are too few above.

    Early losses flatter low rates, since the schedule has not lowered the high ones yet.

    Args:
        losses: rate -> lowest mean loss on validation so far; infinite for a training that broke down.
        keep: how many.
    """
    rates = sorted(rate for rate in losses if math.isfinite(losses[rate])) or sorted(losses)
    best = rates.index(min(rates, key=lambda rate: (losses[rate], -rate)))
    first = max(0, min(best, len(rates) - keep))
    return tuple(rates[first : first + keep])


def cost_in_trainings(num_steps: int, num_rates: int, further: Round | None = None) -> float:
    """Steps of all rates over those of one training.

    Args:
        num_steps: optimizer steps of one training.
        num_rates: that start.
        further: round up to which two rates go on after the last one, if they do.
    """
    total, done, going = 0, 0, num_rates
    for end in rounds_of(num_steps):
        total += going * (end.step - done)
        done, going = end.step, min(going, end.keep)
    more = further.step - done if further else 0
    return (total + more + num_steps - done) / num_steps


def close_round(num_steps: int, num_rates: int) -> Round | None:
    """The further round of two rates that are close; None where it comes too early, or the whole would cost too much.

    Args:
        num_steps: optimizer steps of one training.
        num_rates: that start.
    """
    rounds, step = rounds_of(num_steps), math.ceil(CLOSE_SHARE * num_steps)
    if not rounds or not rounds[-1].step < step < num_steps:
        return None
    further = Round(step, 1)
    return further if cost_in_trainings(num_steps, num_rates, further) <= MAX_COST else None


def are_close(losses: Mapping[float, float]) -> bool:
    """Whether the second lowest loss is so near the lowest one that a later look may decide otherwise.

    Args:
        losses: rate -> loss; infinite for a training that broke down.
    """
    lowest = sorted(loss for loss in losses.values() if math.isfinite(loss))[:2]
    return len(lowest) == 2 and lowest[1] <= CLOSE * lowest[0]


def cost_of_all(num_steps: int, num_rates: int) -> float:
    """Steps of all rates over those of one training if none leaves before the last round; see `highest_cost`."""
    rounds = rounds_of(num_steps)
    return ((num_rates - 1) * (rounds[-1].step if rounds else 0) + num_steps) / num_steps


def keeps_all(losses: Mapping[float, float], num_steps: int) -> bool:
    """Whether all rates go on to the last round: nothing tells them apart yet, and that costs at most 1.6 trainings.

    Args:
        losses: rate -> loss after the first of two rounds; infinite for a training that broke down.
        num_steps: optimizer steps of one training.
    """
    highest = max(losses.values())
    are_level = math.isfinite(highest) and highest <= CLOSE * min(losses.values())
    return len(rounds_of(num_steps)) > 1 and are_level and cost_of_all(num_steps, len(losses)) <= MAX_COST


def leads(rate: float, losses: Mapping[float, float]) -> bool:
    """Whether a rate's loss lies more than 5% below those of all others.

    Args:
        rate: one of them.
        losses: rate -> loss; infinite for a training that broke down.
    """
    return all(CLOSE * losses[rate] < loss for other, loss in losses.items() if other != rate)


def next_higher(rate: float) -> float:
    """The rate half a decade above."""
    return float(f"{rate * 10 / 3:.0e}")


def highest_cost(num_steps: int, num_rates: int) -> float:
    """The most that a search for a rate can cost, in trainings: where rates are close.

    Args:
        num_steps: optimizer steps of one training.
        num_rates: that start.
    """
    two_go_on = cost_in_trainings(num_steps, num_rates, close_round(num_steps, num_rates))
    all_go_on = cost_of_all(num_steps, num_rates)
    return max(two_go_on, all_go_on) if all_go_on <= MAX_COST else two_go_on


def affordable(rates: Sequence[float], num_steps: int) -> tuple[float, ...]:
    """The lowest rates, as many as cost at most 1.6 trainings: all but in trainings of 2 or 3 steps.

    Args:
        rates: ascending.
        num_steps: optimizer steps of one training.
    """
    count = len(rates)
    while cost_in_trainings(num_steps, count) > MAX_COST and count > 2:
        count -= 1
    return tuple(rates[:count])


def candidate_rates(width: int) -> tuple[float, ...]:
    """Learning rates of LoRA that are tried, half a decade apart, ascending.

    The best rate falls as a model grows wider: 5e-3 to 4e-2 on MiniLM (384) and 1e-3 to 3e-3 on MPNet (768), by
    try-outs of one or two seeds; below 1e-3 on models of billions, as is common there. A lower rate beside them won
    early, and lost in the end: it gave up 4 points on HWU64 (docs/results_starts.md).

    Args:
        width: of the model's hidden states.
    """
    highest = next(rate for widest, rate in ((512, 3e-2), (1536, 1e-2), (math.inf, 1e-3)) if width <= widest)
    return tuple(float(f"{highest * share:.0e}") for share in (1 / 10, 1 / 3, 1))


def rate_of_search(rates: Sequence[float]) -> float:
    """The rate at which a search trains where each training finds its own: the last but one, or the only one."""
    return rates[-2:][0]
