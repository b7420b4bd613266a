"""The rules of BIPEFT as pure functions: indicator, trigger, removal, rank selection."""

import math
from collections.abc import Sequence

import torch


def scheduled_stage(order: str, stages: Sequence[str], *, step: int, planned_steps: int) -> str:
    """Which stage a step trains.

    Args:
        order: "iterative" alternates step by step (algorithm 1); "binary_then_rank" and "rank_then_binary" switch
            once at half of the planned steps (Table 2, no iteration); "entangled" has one stage only.
        stages: what can be trained, such as ("binary", "rank").
    """
    if len(stages) == 1:
        return stages[0]
    if order == "iterative":
        return stages[step % 2]
    is_second_half = step >= planned_steps / 2
    return stages[int(is_second_half != (order == "rank_then_binary"))]


def fill_indicator(scores: torch.Tensor, sizes: torch.Tensor, budget: float) -> torch.Tensor:
    """1 for the modules that fit the budget in order of descending score, skipping what does not fit.

    Args:
        scores: (modules,) smoothed sensitivities, -inf for removed modules.
        sizes: (modules,) parameters.

    Returns:
        (modules,) of zeros and ones.

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
    """Cosine of two vectors; 0 if one of them is zero."""
    length = first.norm() * second.norm()
    return float(first @ second / length) if length > 0 else 0.0


def indicator_stability(indicators: Sequence[torch.Tensor], window: int) -> float | None:
    """Mean cosine of the last `window` pairs of consecutive indicators (eq. 5); None with fewer pairs."""
    recent = list(indicators)[-(window + 1) :]
    if len(recent) < window + 1:
        return None
    return sum(cosine(a, b) for a, b in zip(recent, recent[1:])) / window


def choose_removals(
    scores: torch.Tensor, sizes: torch.Tensor, *, reduction: float, at_least_one: bool
) -> torch.Tensor:
    """Indices of the lowest-scored live modules whose summed size stays within the reduction.

    Args:
        scores: (modules,) smoothed sensitivities, -inf for removed modules.
        sizes: (modules,) expected parameters.
        reduction: R, parameters to remove (eq. 6).
        at_least_one: remove the lowest module even if it is larger than the reduction.
    """
    order = torch.argsort(scores, stable=True)
    order = order[torch.isfinite(scores[order])]
    count = int((sizes[order].cumsum(0) <= reduction).sum())
    return order[: max(count, int(at_least_one))]


def dimension_stability(history: torch.Tensor) -> torch.Tensor:
    """DSI: mean over ranks of the deviation over time, times KL(now || at the last trigger) (eq. 9); low is stable.

    Args:
        history: (times, modules, ranks) logits from the last trigger up to now; -inf where a rank does not exist.

    Returns:
        (modules,) indicators.
    """
    exists = torch.isfinite(history[-1])
    deviation = history.masked_fill(~exists, 0.0).std(0, correction=0).sum(-1) / exists.sum(-1)
    now, before = torch.log_softmax(history[-1], -1), torch.log_softmax(history[0], -1)
    divergence = torch.where(exists, now.exp() * (now - before), 0.0).sum(-1)
    return deviation * divergence


def count_ranks_to_fix(last: torch.Tensor, now: torch.Tensor, *, unfixed: int, triggers_left: int) -> int:
    """floor(cos(v_last, v_now) * unfixed / triggers left) (eq. 10).

    Args:
        last, now: (ranked modules,) rank of each module at the last trigger and now, 0 if removed.
    """
    return min(unfixed, math.floor(max(0.0, cosine(last, now)) * unfixed / triggers_left))
