"""The flat encoding: one variable for each placement."""

import math
import random
from collections.abc import Iterable

from peftsearch.space.configuration import Choice, Configuration
from peftsearch.space.encoding import Encoding, Point, Variable, register_encoding
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import Site


@register_encoding
class FlatEncoding(Encoding):
    """Each placement is off or has one of its ranks, independently of all others.

    Args:
        space: exact costs of every choice.
        budget: parameters, task head excluded.
        sites: every site of the model; not used.
    """

    name = "flat"

    def __init__(self, space: SearchSpace, budget: int, sites: Iterable[Site]):
        super().__init__(space, budget)
        self.placements = list(space.ranks)
        self.variables = tuple(Variable(str(p), (0, *space.ranks[p])) for p in self.placements)

    def decode(self, point: Point) -> Configuration:
        chosen = zip(self.placements, point, self.variables, strict=True)
        return Configuration.of(Choice(p.site, p.kind, v.values[i]) for p, i, v in chosen if i)

    def encode(self, configuration: Configuration) -> Point:
        rank = {choice.placement: choice.rank for choice in configuration}
        return tuple(v.values.index(rank.get(p, 0)) for p, v in zip(self.placements, self.variables, strict=True))

    def sample_any_size(self, rng: random.Random) -> Point:
        """Draw a size, log-uniformly from the cheapest choice to the budget, and a point that uses that size up."""
        low, high = math.log(self.space.costs[self.space.cheapest]), math.log(self.budget)
        return self.within(max(round(math.exp(low)), int(math.exp(rng.uniform(low, high))))).sample(rng)

    def sample(self, rng: random.Random) -> Point:
        """Add choices in random order, each if it fits, until none does: a point that uses the budget up.

        Source: the random baseline of Hu et al. 2022 (S3Delta); the random rank is ours.
        """
        return self._filled([0] * len(self.placements), rng)

    def repaired(self, point: Point, rng: random.Random) -> Point:
        """Remove random modules until the rest fits, then add random ones that fit."""
        kept, size = list(point), self.space.cost(self.decode(point))
        on = [i for i, value in enumerate(point) if value]
        rng.shuffle(on)
        while size > self.budget:
            i = on.pop()
            size -= self._cost(i, kept[i])
            kept[i] = 0
        return self._filled(kept, rng)

    def _filled(self, point: list[int], rng: random.Random) -> Point:
        options = [(i, value) for i, v in enumerate(self.variables) for value in range(1, len(v.values))]
        rng.shuffle(options)
        left = self.budget - self.space.cost(self.decode(tuple(point)))
        for i, value in options:
            if point[i] == 0 and self._cost(i, value) <= left:
                point[i] = value
                left -= self._cost(i, value)
        return tuple(point)

    def _cost(self, i: int, value: int) -> int:
        placement = self.placements[i]
        return self.space.costs[Choice(placement.site, placement.kind, self.variables[i].values[value])]
