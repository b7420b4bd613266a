"""Exact repair: turn the scores of a search into a configuration that uses the budget and never exceeds it."""

from collections.abc import Iterable, Mapping

from peftsearch.space.configuration import Choice, Configuration, Placement
from peftsearch.space.search_space import SearchSpace

EMPTY = Configuration()


def repair(
    space: SearchSpace,
    *,
    live: Iterable[Placement],
    ranks: Mapping[Placement, int],
    scores: Mapping[Placement, float],
    budget: int,
    core: Configuration = EMPTY,
) -> Configuration:
    """Drop modules by ascending score until the rest fits the budget, then fill the budget by descending score.

    Scores are sensitivities per parameter, so the order by score is the order by gain for cost.

    Args:
        space: exact costs of every choice.
        live: placements that the search kept.
        ranks: the rank that the search prefers for each of them.
        scores: smoothed sensitivity of every placement of the space; missing ones count as 0.
        budget: parameters, at least the cost of `core`.
        core: choices of a smaller budget, kept whatever their scores, so that a ladder of budgets is nested.

    Returns:
        a configuration of at most `budget` parameters that leaves less than the cheapest addition.

    Source: ours. Chang et al. 2024 (BIPEFT) stop near the budget, and their public code mostly above it.
    """
    core_ranks = {choice.placement: choice.rank for choice in core}
    by_score = sorted(space.ranks, key=lambda p: (-scores.get(p, 0.0), p))
    wanted = dict(core_ranks)
    for placement in live:
        wanted[placement] = max(ranks[placement], core_ranks.get(placement, 0))
    size = space.cost(_choices(wanted))
    for placement in reversed(by_score):
        if size <= budget:
            break
        if placement in wanted:
            size -= space.cost_of(Choice(placement.site, placement.kind, wanted.pop(placement)))
            if placement in core_ranks:
                wanted[placement] = core_ranks[placement]
                size += space.cost_of(Choice(placement.site, placement.kind, core_ranks[placement]))
    return space.fill(Configuration.of(_choices(wanted)), ordered=by_score, budget=budget)


def _choices(ranks: Mapping[Placement, int]) -> list[Choice]:
    return [Choice(p.site, p.kind, rank) for p, rank in ranks.items()]
