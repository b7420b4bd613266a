"""Local search for the best feasible and unseen point of an encoding."""

import math
import random
from collections.abc import Callable, Iterable
from itertools import product

from peftsearch.space import Configuration
from peftsearch.space.encoding import Encoding, Point

# After so many draws without a new point, a space counts as used up; one of at most so many points is listed first.
MAX_TRIES, MAX_LISTED = 200, 20_000
# Neighbours that one step looks at, and the most steps of one ascent.
MAX_NEIGHBOURS, MAX_STEPS = 200, 100

# The values of some points, larger is better.
Value = Callable[[list[Point]], list[float]]


class UnseenPoints:
    """Points that may still be proposed: they fit, their configuration is new, and they are in canonical form.

    Args:
        encoding: of the space, within the largest budget.
        seen: configurations that must not be proposed again.
        rng: of every draw.
    """

    def __init__(self, encoding: Encoding, seen: Iterable[Configuration], rng: random.Random):
        self.encoding, self.seen, self.rng = encoding, set(seen), rng

    def canonical(self, point: Point) -> Point | None:
        """Return the one point that stands for the point's configuration; None if it may not be proposed."""
        if not self.encoding.fits(point):
            return None
        configuration = self.encoding.decode(point)
        return None if configuration in self.seen else self.encoding.encode(configuration)

    def neighbours(self, point: Point) -> list[Point]:
        """List the unseen points that differ in one variable; of more than 200, a random part."""
        around = list(self.encoding.neighbours(point))
        if len(around) > MAX_NEIGHBOURS:
            around = self.rng.sample(around, MAX_NEIGHBOURS)
        found = {new for new in map(self.canonical, around) if new is not None}
        return sorted(found - {point})

    def draw(self, encoding: Encoding | None = None) -> Point | None:
        """Draw a random unseen point; None if none is left.

        Args:
            encoding: the same encoding within a smaller budget, to draw within that.
        """
        encoding = encoding or self.encoding
        for _ in range(MAX_TRIES):
            if (point := self.canonical(encoding.sample_any_size(self.rng))) is not None:
                return point
        if math.prod(len(variable.values) for variable in encoding.variables) > MAX_LISTED:
            return None
        points = product(*(range(len(variable.values)) for variable in encoding.variables))
        left = sorted({new for new in map(self.canonical, points) if new is not None})
        return self.rng.choice(left) if left else None

    def take(self, point: Point) -> None:
        """Count a point's configuration as seen."""
        self.seen.add(self.encoding.decode(point))


def climb(
    starts: Iterable[Point], *, restarts: int, neighbours: Callable[[Point], list[Point]], value: Value
) -> Point:
    """Ascend from the best starts, always to the best neighbour, and return the best point that was met.

    The public code of AutoPEFT looks the result up among the starts, and so trains another point than it found.

    Args:
        starts: at least one point.
        restarts: number of starts that ascend.
        neighbours: lists the neighbours of a point.
        value: computes the values of some points, larger is better.
    """
    starts = list(dict.fromkeys(starts))
    values = dict(zip(starts, value(starts), strict=True))
    ascending = sorted(starts, key=lambda point: -values[point])[:restarts]
    for _ in range(MAX_STEPS):
        around = {point: neighbours(point) for point in ascending}
        fresh = list(dict.fromkeys(new for points in around.values() for new in points if new not in values))
        if fresh:
            values.update(zip(fresh, value(fresh), strict=True))
        best = {point: max([point, *points], key=values.__getitem__) for point, points in around.items()}
        ascending = list(dict.fromkeys(new for point, new in best.items() if new != point))
        if not ascending:
            break
    return max(values, key=values.__getitem__)
