"""Sizes from a budget: every layer has a share of the budget, which is divided among the kinds of the layer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from peftsearch.space.configuration import Choice, Configuration, Placement
from peftsearch.space.search_space import SearchSpace

# The kind whose cost is fixed; it is subtracted before the other kinds divide the rest.
FIXED = "bitfit"


@dataclass(frozen=True, eq=False)
class LayerUnit:
    """One kind at all its sites of one layer, with the same size at each.

    Args:
        kind: name of the kind.
        placements: the sites.
        costs: size -> parameters of all placements together; sizes ascend.
    """

    kind: str
    placements: tuple[Placement, ...]
    costs: Mapping[int, int]

    @classmethod
    def of(cls, space: SearchSpace, placements: Sequence[Placement]) -> "LayerUnit":
        """Make the unit of some placements of one kind, with the sizes that all of them can have."""
        sizes = sorted(set.intersection(*(set(space.ranks[p]) for p in placements)))
        costs = {n: sum(space.costs[Choice(p.site, p.kind, n)] for p in placements) for n in sizes}
        return cls(placements[0].kind, tuple(placements), costs)

    @property
    def smallest(self) -> int:
        """The smallest size."""
        return min(self.costs)

    def cost(self, size: int) -> int:
        """Return the parameters at a size; size 0 means that the unit is absent."""
        return self.costs[size] if size else 0

    def largest_within(self, parameters: int) -> int:
        """Find the largest size of at most so many parameters, or the smallest size if even that has more."""
        return max((n for n, cost in self.costs.items() if cost <= parameters), default=self.smallest)

    def larger(self, size: int) -> int | None:
        """Find the next larger size; None at the largest."""
        return next((n for n in self.costs if n > size), None)

    def smaller(self, size: int) -> int | None:
        """Find the next smaller size; None at the smallest."""
        return next((n for n in reversed(self.costs) if n < size), None)


@dataclass(frozen=True)
class LayerAllocation:
    """The units of one layer and the layer's share of the budget.

    Args:
        units: one for each kind of the layer's strategy.
        share: parameters.
    """

    units: tuple[LayerUnit, ...]
    share: int


def divide_share(layer: LayerAllocation) -> dict[LayerUnit, int]:
    """Choose the sizes of a layer's units: BitFit's cost is subtracted first, the others get equal parts of the rest.

    BitFit is left out where it exceeds the share, unless it is the layer's only kind. Every other unit has its
    smallest size at least, so that the sizes may exceed a small share.
    """
    fixed = [unit for unit in layer.units if unit.kind == FIXED]
    others = [unit for unit in layer.units if unit.kind != FIXED]
    if others and sum(unit.cost(unit.smallest) for unit in fixed) > layer.share:
        fixed = []
    left = layer.share - sum(unit.cost(unit.smallest) for unit in fixed)
    return {unit: unit.smallest for unit in fixed} | {u: u.largest_within(left // len(others)) for u in others}


def fill_layers(layers: Iterable[LayerAllocation], budget: int) -> Configuration:
    """Divide every layer's share among its units, then change sizes until they use the budget and do not exceed it.

    Args:
        layers: from the bottom up.
        budget: parameters.
    """
    filling = _Filling(list(layers), budget)
    filling.reduce()
    filling.drop()
    filling.raise_sizes()
    return Configuration.of(
        Choice(p.site, p.kind, size) for unit, size in filling.sizes.items() if size for p in unit.placements
    )


class _Filling:
    """Sizes of all units while they are fitted to the budget; 0 means absent.

    Args:
        layers: from the bottom up.
        budget: parameters.
    """

    def __init__(self, layers: list[LayerAllocation], budget: int):
        divided = [divide_share(layer) for layer in layers]
        self.sizes = {unit: size for sizes in divided for unit, size in sizes.items()}
        self.layer_of = {unit: i for i, sizes in enumerate(divided) for unit in sizes}
        self.shares = [layer.share for layer in layers]
        self.used = [sum(unit.cost(size) for unit, size in sizes.items()) for sizes in divided]
        self.left = budget - sum(self.used)

    def resize(self, unit: LayerUnit, size: int) -> None:
        """Give a unit another size."""
        more = unit.cost(size) - unit.cost(self.sizes[unit])
        self.sizes[unit] = size
        self.used[self.layer_of[unit]] += more
        self.left -= more

    def lack(self, unit: LayerUnit) -> int:
        """Return by how many parameters the unit's layer is below its share."""
        return self.shares[self.layer_of[unit]] - self.used[self.layer_of[unit]]

    def reduce(self) -> None:
        """While the budget is exceeded, lower the largest size; among equals that of the fullest layer."""
        while self.left < 0:
            able = {u: smaller for u, size in self.sizes.items() if (smaller := u.smaller(size)) is not None}
            if not able:
                return
            unit = max(able, key=lambda u: (self.sizes[u], -self.lack(u)))
            self.resize(unit, able[unit])

    def drop(self) -> None:
        """While the budget is exceeded, drop the most expensive unit, those that are alone in their layer last.

        Among equals the unit of the layer with the smallest share goes first, then that of the lowest layer.
        """
        while self.left < 0:
            present = [unit for unit, size in self.sizes.items() if size]
            self.resize(max(present, key=self._drop_order), 0)

    def _drop_order(self, unit: LayerUnit) -> tuple[bool, int, int, int]:
        layer = self.layer_of[unit]
        is_alone = self.used[layer] == unit.cost(self.sizes[unit])
        return not is_alone, unit.cost(self.sizes[unit]), -self.shares[layer], -layer

    def raise_sizes(self) -> None:
        """While a step to a larger size fits the budget, take the cheapest in the layer furthest below its share.

        Among equal layers the upper one comes first.
        """
        while True:
            larger = {u: size for u in self.sizes if (size := u.larger(self.sizes[u])) is not None}
            steps = {u: u.cost(size) - u.cost(self.sizes[u]) for u, size in larger.items()}
            able = [u for u, step in steps.items() if step <= self.left]
            if not able:
                return
            unit = max(able, key=lambda u: (self.lack(u), self.layer_of[u], -steps[u]))
            self.resize(unit, larger[unit])
