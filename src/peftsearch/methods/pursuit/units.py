"""Units that pursuit adds to a configuration, and the order in which it does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from peftsearch.space import Choice, Configuration, Placement, SearchSpace


@dataclass(frozen=True)
class Unit:
    """One component of a module: a direction of LoRA, or a module without ranks.

    Args:
        placement: site and kind.
        gain: fall of the loss that its gradient promises at a rate of 1, in squared units of the gradient.
    """

    placement: Placement
    gain: float


def add_units(space: SearchSpace, held: Configuration, units: Iterable[Unit], *, budget: int) -> Configuration:
    """Add units by their gain per parameter, and skip what does not fit into the budget.

    Args:
        space: costs of every choice.
        held: what is there already, which stays.
        units: those of one placement in the order in which they are to be added.
        budget: parameters, at least the cost of `held`.
    """
    ranks = {choice.placement: choice.rank for choice in held}
    left = budget - space.cost(held)
    # Stable, so that units of one placement with equal gains keep their order.
    for unit in sorted(units, key=lambda unit: _score(space, unit), reverse=True):
        price = _price(space, unit.placement, ranks)
        if unit.gain > 0 and price is not None and price <= left:
            ranks[unit.placement] = ranks.get(unit.placement, 0) + 1
            left -= price
    return Configuration.of(Choice(p.site, p.kind, rank) for p, rank in ranks.items())


def _score(space: SearchSpace, unit: Unit) -> float:
    placement = unit.placement
    return unit.gain / space.cost_of(Choice(placement.site, placement.kind, 1))


def _price(space: SearchSpace, placement: Placement, ranks: Mapping[Placement, int]) -> int | None:
    """Parameters that one more component costs; None at the largest rank."""
    rank = ranks.get(placement, 0)
    if rank == space.ranks[placement][-1]:
        return None
    now = space.cost_of(Choice(placement.site, placement.kind, rank)) if rank else 0
    return space.cost_of(Choice(placement.site, placement.kind, rank + 1)) - now
