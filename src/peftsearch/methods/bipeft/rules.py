"""The rules of BIPEFT as pure functions: stages, indicator, trigger, removal, rank selection."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch


def scheduled_stage(order: str, stages: Sequence[str], *, step: int, planned_steps: int) -> str:
    """Choose the stage that a step trains.

    Args:
        order: "iterative" alternates step by step (algorithm 1); "binary_then_rank" and "rank_then_binary" switch
            once at half of the planned steps (Table 2, no iteration); "entangled" has one stage only.
        stages: names of the stages, ("binary", "rank") or a single one.
        step: counted from 0.
        planned_steps: of the search.
    """
    if len(stages) == 1:
        return stages[0]
    if order == "iterative":
        return stages[step % 2]
    is_second_half = step >= planned_steps / 2
    return stages[int(is_second_half != (order == "rank_then_binary"))]


def fill_indicator(scores: torch.Tensor, sizes: torch.Tensor, budget: float) -> torch.Tensor:
    """Fill the budget with modules in order of descending score, skipping those that don't fit.

    Args:
        scores: (modules,) smoothed sensitivities, -inf for removed modules.
        sizes: (modules,) parameters.
        budget: in parameters.

    Returns:
        (modules,) indicator: 1 for the modules that were taken, 0 for the others.

    Source: section 3.3; the paper stops at the first misfit, its code skips it. Skipping is kept: with ranks up to
    8 a single module can be larger than what is left, whatever its score.
    """
    indicator = torch.zeros_like(scores)
    left, sizes_list, alive = budget, sizes.tolist(), torch.isfinite(scores).tolist()
    for i in torch.argsort(scores, descending=True, stable=True).tolist():
        if alive[i] and sizes_list[i] <= left:
            indicator[i] = 1
            left -= sizes_list[i]
    return indicator


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """Compute the cosine of two vectors; 0 if one of them is zero."""
    length = first.norm() * second.norm()
    return float(first @ second / length) if length > 0 else 0.0


def indicator_stability(indicators: Sequence[torch.Tensor], window: int) -> float | None:
    """Compute the mean cosine of the last `window` pairs of consecutive indicators (eq. 5); None with fewer pairs."""
    recent = list(indicators)[-(window + 1) :]
    if len(recent) < window + 1:
        return None
    return sum(cosine(a, b) for a, b in pairwise(recent)) / window


def indicator_agreement(indicators: Sequence[torch.Tensor], window: int) -> float | None:
    """Compute the mean agreement beyond chance of the same pairs; None with fewer pairs.

    Two indicators that take shares p and q of the modules at random have a cosine of sqrt(p q), which is large while
    the budget holds most modules. It is taken away: (cosine - sqrt(p q)) / (1 - sqrt(p q)), 0 on the mean for
    indicators that know nothing of each other, 1 for equal ones. Ours, after Cohen's kappa.

    Args:
        indicators: the latest last.
        window: pairs.
    """
    recent = list(indicators)[-(window + 1) :]
    if len(recent) < window + 1:
        return None
    return sum(_beyond_chance(a, b) for a, b in pairwise(recent)) / window


def _beyond_chance(first: torch.Tensor, second: torch.Tensor) -> float:
    by_chance = math.sqrt(float(first.mean()) * float(second.mean()))
    return 1.0 if by_chance >= 1 else (cosine(first, second) - by_chance) / (1 - by_chance)


def scheduled(indicators: Sequence[torch.Tensor], window: int) -> float | None:
    """A stability that triggers at every step after the warm-up, whatever the indicators say."""
    return 1.0


# How stable the last indicators are, from 1 for equal ones; None while that can't be told.
STABILITIES: dict[str, Callable[[Sequence[torch.Tensor], int], float | None]] = {
    "cosine": indicator_stability,
    "agreement": indicator_agreement,
    "schedule": scheduled,
}


def choose_removals(
    scores: torch.Tensor, sizes: torch.Tensor, *, reduction: float, at_least_one: bool
) -> torch.Tensor:
    """Choose the lowest-scored live modules whose summed size stays within the reduction.

    Args:
        scores: (modules,) smoothed sensitivities, -inf for removed modules.
        sizes: (modules,) expected parameters.
        reduction: R, parameters to remove (eq. 6).
        at_least_one: remove the lowest module even if it is larger than the reduction.

    Returns:
        indices of the modules, the lowest score first.
    """
    order = torch.argsort(scores, stable=True)
    order = order[torch.isfinite(scores[order])]
    count = int((sizes[order].cumsum(0) <= reduction).sum())
    return order[: max(count, int(at_least_one))]


def dimension_stability(history: torch.Tensor) -> torch.Tensor:
    """Compute DSI, the dimension stability indicator (eq. 9); a low value is stable.

    It is the mean over ranks of the logits' deviation over time, times KL(now || at the last trigger).

    Args:
        history: (times, modules, ranks) logits from the last trigger up to now; -inf where a rank does not exist.

    Returns:
        (modules,) indicators, at least 0.
    """
    exists = torch.isfinite(history[-1])
    deviation = history.masked_fill(~exists, 0.0).std(0, correction=0).sum(-1) / exists.sum(-1)
    now, before = torch.log_softmax(history[-1], -1), torch.log_softmax(history[0], -1)
    divergence = torch.where(exists, now.exp() * (now - before), 0.0).sum(-1)
    return deviation * divergence


def count_ranks_to_fix(last: torch.Tensor, now: torch.Tensor, *, unfixed: int, triggers_left: int) -> int:
    """Compute the number of ranks to fix, floor(cos(v_last, v_now) * unfixed / triggers left) (eq. 10).

    Args:
        last: v_last, (ranked modules,) rank of each module at the last trigger, 0 if removed.
        now: v_now, the same now.
        unfixed: live modules whose rank is not fixed yet.
        triggers_left: this one included, at least 1.
    """
    return min(unfixed, math.floor(max(0.0, cosine(last, now)) * unfixed / triggers_left))
