"""AutoPEFT's encoding: one size for each kind, and one layer mask that all kinds share."""

from collections.abc import Iterable

from peftsearch.space.configuration import Choice, Configuration
from peftsearch.space.encoding import Encoding, Point, Variable, blocks, register_encoding
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import Site


@register_encoding
class AutopeftEncoding(Encoding):
    """A size for each kind (0 switches it off everywhere) and a bit for each block (0 leaves it without any module).

    Args:
        space: exact costs of every choice.
        budget: parameters, task head excluded.
        sites: every site of the model.

    Source: Zhou et al. 2024, section 3.1. Ours: in an encoder-decoder each stack's blocks have bits of their own.
    """

    name = "autopeft"

    def __init__(self, space: SearchSpace, budget: int, sites: Iterable[Site]):
        super().__init__(space, budget)
        sites = list(sites)
        self.kinds = sorted({placement.kind for placement in space.ranks})
        self.blocks = blocks(sites)
        block_of = {site.name: (site.stack, site.layer) for site in sites}
        self.placements = [(p, self.kinds.index(p.kind), self.blocks.index(block_of[p.site])) for p in space.ranks]
        sizes = tuple(sorted({choice.rank for choice in space.costs}))
        self.variables = (
            *(Variable(f"{kind} size", (0, *sizes)) for kind in self.kinds),
            *(Variable(f"{stack} {layer}", (0, 1)) for stack, layer in self.blocks),
        )

    def decode(self, point: Point) -> Configuration:
        sizes = [variable.values[i] for variable, i in zip(self.variables, point[: len(self.kinds)])]
        is_kept = point[len(self.kinds) :]
        return Configuration.of(
            Choice(p.site, p.kind, sizes[kind]) for p, kind, block in self.placements if sizes[kind] and is_kept[block]
        )

    def encode(self, configuration: Configuration) -> Point:
        size = {choice.kind: choice.rank for choice in configuration}
        chosen = {choice.placement for choice in configuration}
        kept = {block for placement, _, block in self.placements if placement in chosen}
        sizes = self.variables[: len(self.kinds)]
        return (
            *(variable.values.index(size.get(kind, 0)) for variable, kind in zip(sizes, self.kinds, strict=True)),
            *(int(block in kept) for block in range(len(self.blocks))),
        )
