"""What a method is to those who choose it: its name, its settings, and where its code is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any, ClassVar

from peftsearch.registry import Registry
from peftsearch.settings import Settings


class Driver(StrEnum):
    """Which loop runs a method."""

    GATES = "gates"  # one training of a supernet under gates
    TRIALS = "trials"  # whole configurations, each trained from scratch
    INHERITED = "inherited"  # one training of a supernet, then configurations scored with its weights
    MANUAL = "manual"  # no search


class MethodSettings(Settings):
    """Base of every method's settings, which are frozen dataclasses."""

    PREFIX: ClassVar[str] = "method."
    # Planned passes of a search that trains a supernet; 0 leaves the length to the method.
    epochs: float

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """The ranks that the method chooses among, given those of the space."""
        return ranks

    def planned_epochs(self, of_training: float, steps_per_epoch: int) -> float:
        """Passes of a search that trains a supernet, over the method's share of the data: by default as the training.

        Args:
            of_training: passes of the training.
            steps_per_epoch: optimizer steps of one pass of the search.
        """
        return self.epochs or of_training


@dataclass(frozen=True)
class LoggedNumber:
    """A number that a method adds to the rows of `search/log.jsonl`, and that the report draws over the steps.

    Args:
        key: in a row.
        title: of the chart.
        note: how to read it.
        highest: the largest possible value, if there is one.
        threshold: name of the setting that is drawn as a dashed line; "" for none.
    """

    key: str
    title: str
    note: str = ""
    highest: float | None = None
    threshold: str = ""


@dataclass(frozen=True)
class MethodEntry:
    """A method as users see it.

    Args:
        name: for `--method`.
        description: one line for `peftsearch list methods`.
        settings: its settings class.
        driver: which loop runs it.
        code: "module:name" of what makes the method, imported when a run needs it; see the drivers for its arguments.
        space: the space that it searches unless the user names another.
        encodings: names of the encodings of space that it can search; see `space/encodings`.
        quick: settings of a search of seconds, for the conformance suite.
        charted: numbers of its own that the report draws.
        counter: the number in its log that the report draws the supernet's size against once it counts; "" for steps.
    """

    name: str
    description: str
    settings: type[MethodSettings]
    driver: Driver = Driver.MANUAL
    code: str = ""
    space: str = "s2"
    encodings: tuple[str, ...] = ("flat",)
    quick: Mapping[str, Any] = field(default_factory=dict)
    charted: tuple[LoggedNumber, ...] = ()
    counter: str = ""

    @property
    def is_search(self) -> bool:
        """Whether it searches; manual configurations don't."""
        return self.driver is not Driver.MANUAL

    def load(self) -> Callable[..., Any]:
        """Import what makes the method."""
        module, _, name = self.code.partition(":")
        return getattr(import_module(module), name)


METHODS: Registry[MethodEntry] = Registry("method", package="peftsearch.methods", group="peftsearch.methods")


def register_method(entry: MethodEntry) -> MethodEntry:
    """Make a method known by its name."""
    return METHODS.add(entry.name, entry)
