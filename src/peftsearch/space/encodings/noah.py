"""NOAH's encoding: each kind stands in the first blocks of a stack, with a size of its own in each of them."""

from collections.abc import Iterable

from peftsearch.space.configuration import Choice, Configuration
from peftsearch.space.encoding import Encoding, Point, Variable, blocks, register_encoding
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import Site

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@register_encoding
class NoahEncoding(Encoding):
    """A depth for each kind, as a share of a stack's blocks, and a size for each kind and block.

    Args:
        space: exact costs of every choice.
        budget: parameters, task head excluded.
        sites: every site of the model.

    Source: Zhang et al. 2022, section 3.2, where the depths are 3, 6, 9 and 12 of 12 blocks. Ours: the depth may be 0,
    since small budgets don't hold every kind.
    """

    name = "noah"

    def __init__(self, space: SearchSpace, budget: int, sites: Iterable[Site]):
        super().__init__(space, budget)
        sites = list(sites)
        self.kinds = sorted({placement.kind for placement in space.ranks})
        self.blocks = blocks(sites)
        self.layers = {stack: sum(1 for s, _ in self.blocks if s == stack) for stack, _ in self.blocks}
        block_of = {site.name: (site.stack, site.layer) for site in sites}
        self.placements = [(p, self.kinds.index(p.kind), self.blocks.index(block_of[p.site])) for p in space.ranks]
        sizes = tuple(sorted({choice.rank for choice in space.costs}))
        self.variables = (
            *(Variable(f"{kind} depth", DEPTHS) for kind in self.kinds),
            *(Variable(f"{kind} size in {s} {n}", sizes) for kind in self.kinds for s, n in self.blocks),
        )

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """Indices of each kind's variables: a crossover takes its depth and all its sizes from one parent."""
        first, count = len(self.kinds), len(self.blocks)
        sizes = [range(first + k * count, first + (k + 1) * count) for k in range(len(self.kinds))]
        return [(k, *sizes[k]) for k in range(len(self.kinds))]

    def decode(self, point: Point) -> Configuration:
        depths = [DEPTHS[i] for i in point[: len(self.kinds)]]
        sizes = [v.values[i] for v, i in zip(self.variables[len(self.kinds) :], point[len(self.kinds) :], strict=True)]
        return Configuration.of(
            Choice(p.site, p.kind, sizes[kind * len(self.blocks) + block])
            for p, kind, block in self.placements
            if self._is_deep_enough(depths[kind], *self.blocks[block])
        )

    def encode(self, configuration: Configuration) -> Point:
        rank = {choice.placement: choice.rank for choice in configuration}
        size = {(kind, block): rank[p] for p, kind, block in self.placements if p in rank}
        depths = [
            self._depth([self.blocks[block] for k, block in size if k == kind]) for kind in range(len(self.kinds))
        ]
        cells = ((kind, block) for kind in range(len(self.kinds)) for block in range(len(self.blocks)))
        sizes = self.variables[-1].values
        return (*depths, *(sizes.index(size.get(cell, sizes[0])) for cell in cells))

    def _depth(self, blocks: list[tuple[str, int]]) -> int:
        """Find the index of the smallest depth that reaches all the given blocks."""
        return next(i for i, depth in enumerate(DEPTHS) if all(self._is_deep_enough(depth, *b) for b in blocks))

    def _is_deep_enough(self, depth: float, stack: str, layer: int) -> bool:
        return layer < round(depth * self.layers[stack] + 1e-9)
