"""No ties: one variable for each placement."""

import random
from collections.abc import Iterable

from peftsearch.space.coding import CODINGS, Coding, Point, Variable
from peftsearch.space.configuration import Choice, Configuration
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import Site


class Flat(Coding):
    """Each placement is off or has one of its ranks, whatever the others do."""

    def __init__(self, space: SearchSpace, budget: int, sites: Iterable[Site]):
        super().__init__(space, budget)
        self.placements = list(space.ranks)
        self.variables = tuple(Variable(str(p), (0, *space.ranks[p])) for p in self.placements)

    def decode(self, point: Point) -> Configuration:
        chosen = zip(self.placements, point, self.variables, strict=True)
        return Configuration.of(Choice(p.site, p.kind, v.values[i]) for p, i, v in chosen if i)

    def sample(self, rng: random.Random) -> Point:
        """Draw choices uniformly and add what fits, until nothing does: a configuration that uses its budget.

        Source: S3Delta's random structure, with a random rank (`specs/apet.md`).
        """
        index = {placement: i for i, placement in enumerate(self.placements)}
        order = list(self.space.costs)
        rng.shuffle(order)
        point, left = [0] * len(self.placements), self.budget
        for choice in order:
            i = index[choice.placement]
            if point[i] == 0 and self.space.costs[choice] <= left:
                point[i] = self.variables[i].values.index(choice.rank)
                left -= self.space.costs[choice]
        return tuple(point)


CODINGS.add("flat", Flat)
