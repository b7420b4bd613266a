"""PEFT design spaces: four groups of layers, the kinds of each, and sizes that follow from the budget."""

from collections.abc import Iterable

from peftsearch.space.configuration import Configuration, Placement
from peftsearch.space.encoding import Encoding, Point, Variable, blocks, register_encoding
from peftsearch.space.encodings.design_spaces.designs import (
    ALLOCATIONS,
    GROUPINGS,
    KIND_OF,
    NUM_GROUPS,
    STRATEGIES,
    TUNABLE_GROUPS,
    Design,
    group_of_layers,
    layer_weight,
    split_budget,
)
from peftsearch.space.encodings.design_spaces.layer_units import LayerAllocation, LayerUnit, fill_layers
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import ONCE_PER_STACK, Site


@register_encoding
class DesignSpacesEncoding(Encoding):
    """A grouping, an allocation, the tunable groups and a strategy for each group; the budget gives the sizes.

    In an encoder-decoder each stack is grouped by the same pattern, and a group's strategy holds in both. Sites that
    occur once in a stack get nothing. No point exceeds the budget, and each stands for at least one module.

    Args:
        space: exact costs of every choice.
        budget: parameters, task head excluded.
        sites: every site of the model.

    Source: Chen et al. 2023, section 3. The sizes and the numbers of layers are ours: see `docs/design_spaces.md`.
    """

    name = "design_spaces"

    def __init__(self, space: SearchSpace, budget: int, sites: Iterable[Site]):
        super().__init__(space, budget)
        sites = list(sites)
        self.blocks = blocks(sites)
        self.num_layers = {stack: sum(1 for s, _ in self.blocks if s == stack) for stack, _ in self.blocks}
        self.units = _find_units(space, sites)
        self.variables = (
            Variable("layer grouping", tuple(GROUPINGS), is_ordered=False),
            Variable("parameter allocation", ALLOCATIONS, is_ordered=False),
            Variable("tunable groups", TUNABLE_GROUPS, is_ordered=False),
            *(Variable(f"strategy of G{i + 1}", STRATEGIES, is_ordered=False) for i in range(NUM_GROUPS)),
        )

    @property
    def kinds(self) -> set[str]:
        """The kinds that fit a site of the model."""
        return {unit.kind for unit in self.units.values()}

    def decode(self, point: Point) -> Configuration:
        return self.configure(self.design_of(point))

    def design_of(self, point: Point) -> Design:
        """Return the design that a point stands for."""
        grouping, allocation, tunable, *strategies = (
            variable.values[i] for variable, i in zip(self.variables, point, strict=True)
        )
        return Design(grouping, allocation, tunable, tuple(strategies))

    def configure(self, design: Design) -> Configuration:
        """Find the sizes that a design gets from the budget, and return the configuration.

        If the budget is too small for any layer's kinds, single modules of the design are taken, from the top layer
        down; if it is too small for these too, the cheapest module of the space.
        """
        layers = self._layers(design)
        return fill_layers(layers, self.budget) or self._single_modules(layers) or self._cheapest_module()

    def _layers(self, design: Design) -> list[LayerAllocation]:
        """List the units and the share of each tunable layer, from the bottom up, encoder first."""
        chosen = [block for block in self.blocks if str(self._group(design, block) + 1) in design.tunable]
        weights = [layer_weight(design.allocation, layer, self.num_layers[stack]) for stack, layer in chosen]
        shares = split_budget(self.budget, weights)
        return [LayerAllocation(self._units(design, b), share) for b, share in zip(chosen, shares, strict=True)]

    def _group(self, design: Design, block: tuple[str, int]) -> int:
        stack, layer = block
        return group_of_layers(design.grouping, self.num_layers[stack])[layer]

    def _units(self, design: Design, block: tuple[str, int]) -> tuple[LayerUnit, ...]:
        letters = design.strategies[self._group(design, block)]
        found = (self.units.get((block, KIND_OF[letter])) for letter in letters)
        return tuple(unit for unit in found if unit is not None)

    def _single_modules(self, layers: list[LayerAllocation]) -> Configuration:
        ordered = [p for layer in reversed(layers) for unit in layer.units for p in unit.placements]
        return self.space.fill(Configuration(), ordered=ordered, budget=self.budget)

    def _cheapest_module(self) -> Configuration:
        cheapest = self.space.cheapest
        return Configuration.of([cheapest] if self.space.cost_of(cheapest) <= self.budget else [])


def _find_units(space: SearchSpace, sites: Iterable[Site]) -> dict[tuple[tuple[str, int], str], LayerUnit]:
    """Map (block, kind) to the unit of the kind in that block."""
    block_of = {site.name: (site.stack, site.layer) for site in sites if site.role not in ONCE_PER_STACK}
    placements: dict[tuple[tuple[str, int], str], list[Placement]] = {}
    for placement in space.ranks:
        if placement.site in block_of and placement.kind in KIND_OF.values():
            placements.setdefault((block_of[placement.site], placement.kind), []).append(placement)
    return {key: LayerUnit.of(space, found) for key, found in placements.items()}
