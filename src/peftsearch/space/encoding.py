"""How the choices of a space hang together: a few variables, and the configuration that their values stand for."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.registry import Registry
from peftsearch.space.configuration import Configuration
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import ONCE_PER_STACK, Site

# The index of each variable's value.
Point = tuple[int, ...]

MAX_DRAWS = 20_000


@dataclass(frozen=True)
class Variable:
    """One decision.

    Args:
        name: for reports, such as "serial_adapter size".
        values: what it can be. Numbers stand in ascending order, so that neighbouring values are alike.
        is_ordered: whether the values are numbers.
    """

    name: str
    values: tuple[Any, ...]
    is_ordered: bool = True


class Encoding(ABC):
    """Variables over a search space.

    Args:
        space: exact costs of every choice that a point can stand for.
        budget: parameters that a sampled point must not exceed.
    """

    # What a space says as its `encoding`.
    name: ClassVar[str]
    variables: tuple[Variable, ...]

    def __init__(self, space: SearchSpace, budget: int):
        self.space, self.budget = space, budget

    def within(self, budget: int) -> "Encoding":
        """The same encoding with another budget."""
        other = copy(self)
        other.budget = budget
        return other

    @abstractmethod
    def decode(self, point: Point) -> Configuration:
        """The configuration that a point stands for; several points may stand for the same one."""

    def encode(self, configuration: Configuration) -> Point:
        """The one point that is taken for a configuration: `decode` gives the configuration back.

        Args:
            configuration: what some point stands for.

        Raises:
            ConfigurationError: if the encoding cannot tell; flat, autopeft and noah can.
        """
        raise ConfigurationError(f"The encoding {type(self).__name__} cannot find the point of a configuration.")

    def fits(self, point: Point) -> bool:
        """Whether a point stands for at least one module and for at most the budget."""
        configuration = self.decode(point)
        return len(configuration) > 0 and self.space.cost(configuration) <= self.budget

    def sample(self, rng: random.Random) -> Point:
        """Draw a point that fits, uniformly among those that do.

        Raises:
            BudgetError: if none is found.
        """
        for _ in range(MAX_DRAWS):
            point = self.sample_any(rng)
            if self.fits(point):
                return point
        raise BudgetError(
            f"None of {MAX_DRAWS:,} points drawn from this space has at most {self.budget:,} parameters. "
            "Raise the budget, or take a space with single modules such as s2."
        )

    def sample_any_size(self, rng: random.Random) -> Point:
        """Draw a point that fits, also a small one, which `sample` need not do."""
        return self.sample(rng)

    def sample_any(self, rng: random.Random) -> Point:
        """Draw every variable uniformly, whatever the size."""
        return tuple(rng.randrange(len(variable.values)) for variable in self.variables)

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """Indices of variables that are inherited together in a crossover; every variable is in one group."""
        return [(i,) for i in range(len(self.variables))]

    def repaired(self, point: Point, rng: random.Random) -> Point | None:
        """A point like the given one that fits; None where there is no natural one."""
        return point if self.fits(point) else None

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Points that differ in one variable: by one step if its values are ordered, else by any other value."""
        for i, variable in enumerate(self.variables):
            others = (point[i] - 1, point[i] + 1) if variable.is_ordered else range(len(variable.values))
            for value in others:
                if value != point[i] and 0 <= value < len(variable.values):
                    yield point[:i] + (value,) + point[i + 1 :]

    def vector(self, point: Point) -> tuple[float, ...]:
        """A point as numbers in (0, 1): the middle of the i-th of n equal parts."""
        return tuple((i + 0.5) / len(variable.values) for i, variable in zip(point, self.variables, strict=True))


# Name -> class of the encoding; a class takes (space, budget, sites).
ENCODINGS: Registry[type[Encoding]] = Registry(
    "encoding", package="peftsearch.space.encodings", group="peftsearch.encodings"
)

EncodingClass = TypeVar("EncodingClass", bound=type[Encoding])


def register_encoding(encoding: EncodingClass) -> EncodingClass:
    """Class decorator that makes an encoding known by its name."""
    ENCODINGS.add(encoding.name, encoding)
    return encoding


def blocks(sites: Iterable[Site]) -> list[tuple[str, int]]:
    """(stack, layer) of every transformer block, encoder first, from the bottom up."""
    return sorted({(site.stack, site.layer) for site in sites if site.role not in ONCE_PER_STACK}, key=_encoder_first)


def _encoder_first(block: tuple[str, int]) -> tuple[bool, int]:
    return block[0] != "encoder", block[1]
