"""Encodings of a search space: vectors of categorical or ordinal variables that decode to configurations."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.registry import Registry
from peftsearch.space.configuration import Configuration
from peftsearch.space.search_space import SearchSpace
from peftsearch.space.site import ONCE_PER_STACK, Site

# An encoded configuration: the index of each variable's value.
Point = tuple[int, ...]

# Draws after which `sample` gives up.
MAX_DRAWS = 20_000


@dataclass(frozen=True)
class Variable:
    """A decision with a finite number of values.

    Args:
        name: for reports, such as "serial_adapter size".
        values: its possible values. Numbers stand in ascending order, so that neighbouring values are alike.
        is_ordered: whether the values are numbers.
    """

    name: str
    values: tuple[Any, ...]
    is_ordered: bool = True


class Encoding(ABC):
    """Base class of encodings: variables over a search space, whose values decode to a configuration.

    A subclass sets `name` and `variables`, implements `decode`, and takes the model's sites as third argument.

    Args:
        space: exact costs of every choice that a point can stand for.
        budget: parameters that a sampled point must not exceed, task head excluded.
    """

    # The name by which a `Preset` asks for it.
    name: ClassVar[str]
    variables: tuple[Variable, ...]

    def __init__(self, space: SearchSpace, budget: int):
        self.space, self.budget = space, budget

    def within(self, budget: int) -> "Encoding":
        """Copy the encoding with another budget, in parameters."""
        other = copy(self)
        other.budget = budget
        return other

    @abstractmethod
    def decode(self, point: Point) -> Configuration:
        """Build the configuration that a point stands for; several points may stand for the same one.

        Args:
            point: the index of each variable's value.
        """

    def encode(self, configuration: Configuration) -> Point:
        """Find the point of a configuration: always the same one where several stand for it.

        Args:
            configuration: a configuration that `decode` can return.

        Raises:
            ConfigurationError: if the encoding does not support this; flat, autopeft and noah do.
        """
        raise ConfigurationError(f"The encoding {type(self).__name__} cannot find the point of a configuration.")

    def fits(self, point: Point) -> bool:
        """Tell whether a point stands for at least one module and keeps within the budget."""
        configuration = self.decode(point)
        return len(configuration) > 0 and self.space.cost(configuration) <= self.budget

    def sample(self, rng: random.Random) -> Point:
        """Draw a point that fits, uniformly among all that do.

        Args:
            rng: source of random numbers.

        Raises:
            BudgetError: if `MAX_DRAWS` draws give none.
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
        """Draw a point that fits and may be small; `sample` may draw only those that use the budget up."""
        return self.sample(rng)

    def sample_any(self, rng: random.Random) -> Point:
        """Draw every variable uniformly; the point need not fit the budget."""
        return tuple(rng.randrange(len(variable.values)) for variable in self.variables)

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """Indices of the variables that a crossover takes from the same parent; each variable is in one group."""
        return [(i,) for i in range(len(self.variables))]

    def repaired(self, point: Point, rng: random.Random) -> Point | None:
        """Change a point so that it fits; None if it does not fit and the encoding cannot change it.

        Args:
            point: the index of each variable's value.
            rng: source of random numbers.
        """
        return point if self.fits(point) else None

    def neighbours(self, point: Point) -> Iterator[Point]:
        """Iterate over the points that differ in one variable.

        An ordered variable moves by one step; any other takes each of its values.
        """
        for i, variable in enumerate(self.variables):
            others = (point[i] - 1, point[i] + 1) if variable.is_ordered else range(len(variable.values))
            for value in others:
                if value != point[i] and 0 <= value < len(variable.values):
                    yield (*point[:i], value, *point[i + 1 :])

    def vector(self, point: Point) -> tuple[float, ...]:
        """Map a point to numbers in (0, 1): value i of n becomes (i + 0.5) / n."""
        return tuple((i + 0.5) / len(variable.values) for i, variable in zip(point, self.variables, strict=True))


# Name -> class of the encoding; a class takes (space, budget, sites).
ENCODINGS: Registry[Callable[..., Encoding]] = Registry(
    "encoding", package="peftsearch.space.encodings", group="peftsearch.encodings"
)

EncodingClass = TypeVar("EncodingClass", bound=type[Encoding])


def register_encoding(encoding: EncodingClass) -> EncodingClass:
    """Register an encoding under its name; a class decorator.

    Raises:
        ValueError: for a name that is taken.
    """
    ENCODINGS.add(encoding.name, encoding)
    return encoding


def blocks(sites: Iterable[Site]) -> list[tuple[str, int]]:
    """List every transformer block as (stack, layer), encoder first, from the bottom up."""
    return sorted({(site.stack, site.layer) for site in sites if site.role not in ONCE_PER_STACK}, key=_encoder_first)


def _encoder_first(block: tuple[str, int]) -> tuple[bool, int]:
    return block[0] != "encoder", block[1]
