"""Evolution of encoded configurations within a budget."""

import random
from collections.abc import Callable, Sequence

from peftsearch.methods.evolutionary.settings import EvolutionarySettings
from peftsearch.searches.trials import Problem, Proposal, Proposer, Trial, best_of_each_budget, rank_key
from peftsearch.space import Configuration
from peftsearch.space.encoding import Encoding, Point

# Attempts to make a child that is new and fits; then a random configuration takes its place.
TRIES = 10


class Evolution(Proposer):
    """Breeds generations of configurations within the budget from the best ones so far.

    The first generation is drawn at random. Later ones are half mutants, half crossovers; where no new one can be
    made, a configuration is drawn at random. All generations have the same length. Several budgets are searched one
    after the other.

    Args:
        problem: gives encoding and budgets.
        settings: the method's settings.

    Source: Zhang et al. 2022 (NOAH), section 3.3. There a mutant never changes a size that it keeps; here every
    variable can be drawn anew.
    """

    def __init__(self, problem: Problem, settings: EvolutionarySettings):
        self.problem, self.settings = problem, settings
        self._points: dict[int, list[Point]] = {}  # of each generation, which follows from earlier trials

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        number = len(trials) // self.settings.population
        if number >= len(self.problem.budgets) * self._generations_per_budget:
            return []
        return [Proposal(self.problem.encoding.decode(point)) for point in self._generation(number, trials)]

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        return best_of_each_budget(trials, self.problem.budgets, otherwise=self._draw)

    def _draw(self, budget: int) -> Configuration:
        encoding = self.problem.encoding.within(budget)
        return encoding.decode(encoding.sample(random.Random(self.problem.seed)))

    @property
    def _generations_per_budget(self) -> int:
        return self.settings.generations + 1

    def _generation(self, number: int, trials: Sequence[Trial]) -> list[Point]:
        if number not in self._points:
            self._points[number] = self._breed(number, trials)
        return self._points[number]

    def _breed(self, number: int, trials: Sequence[Trial]) -> list[Point]:
        size, rng = self.settings.population, random.Random(f"{self.problem.seed} {number}")
        encoding = self.problem.encoding.within(self.problem.budgets[number // self._generations_per_budget])
        first = number - number % self._generations_per_budget
        scored = [
            (trial, point)
            for earlier in range(first, number)
            for trial, point in zip(trials[earlier * size :], self._generation(earlier, trials))
        ]
        children = _Children(encoding, {encoding.decode(point) for _, point in scored})
        parents = [point for _, point in sorted(scored, key=lambda pair: rank_key(pair[0]), reverse=True)]
        parents = _distinct(parents, encoding)[: self.settings.parents]
        if parents:
            children.add(size // 2, lambda: mutate(rng.choice(parents), encoding, self.settings.mutation, rng), rng)
            wanted = size - size // 2
            children.add(wanted, lambda: cross(rng.choice(parents), rng.choice(parents), encoding, rng), rng)
        children.add(size - len(children.points), lambda: encoding.sample(rng), rng)
        while len(children.points) < size:
            children.points.append(encoding.sample(rng))
        return children.points


class _Children:
    """Collects new points that fit, none of which stands for a known configuration."""

    def __init__(self, encoding: Encoding, known: set[Configuration]):
        self.encoding, self.known = encoding, known
        self.points: list[Point] = []

    def add(self, count: int, make: Callable[[], Point], rng: random.Random) -> None:
        """Make up to `count` points, each in a limited number of attempts."""
        for _ in range(count):
            for _ in range(TRIES):
                point = self.encoding.repaired(make(), rng)
                if point is not None and self.encoding.decode(point) not in self.known:
                    self.known.add(self.encoding.decode(point))
                    self.points.append(point)
                    break


def _distinct(points: list[Point], encoding: Encoding) -> list[Point]:
    """Keep the first point of each configuration."""
    return list({encoding.decode(point): point for point in reversed(points)}.values())[::-1]


def mutate(point: Point, encoding: Encoding, probability: float, rng: random.Random) -> Point:
    """Draw each variable of a point anew with a probability.

    Args:
        point: the parent.
        encoding: of the point.
        probability: in [0, 1].
        rng: of every draw.
    """
    drawn = encoding.sample_any(rng)
    return tuple(new if rng.random() < probability else old for old, new in zip(point, drawn, strict=True))


def cross(first: Point, second: Point, encoding: Encoding, rng: random.Random) -> Point:
    """Take each group of variables (`encoding.groups`) from one of two points, with equal probability."""
    child = list(first)
    for group in encoding.groups:
        if rng.random() < 0.5:
            for i in group:
                child[i] = second[i]
    return tuple(child)
