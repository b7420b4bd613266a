"""Entries of search methods: name, settings and the place of the code, all without importing the code itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any, ClassVar

from peftsearch.registry import Registry
from peftsearch.settings import Settings
from peftsearch.space.presets import DEFAULT_SPACE


class Driver(StrEnum):
    """The loop that runs a method."""

    GATES = "gates"  # one training of a supernet under gates
    TRIALS = "trials"  # whole configurations, each trained from scratch
    INHERITED = "inherited"  # one training of a supernet, then configurations scored with its weights
    GROWTH = "growth"  # modules added in stages by the gradients of what could be added
    RACE = "race"  # trainings that start together and leave early
    MANUAL = "manual"  # no search


class MethodSettings(Settings):
    """Base class of every method's settings, which are frozen dataclasses.

    Example:
        # On a command line: peftsearch search --model demo --task demo --method random --method.trials 3
        search(model="demo", task="demo", budget="0.5%", method={"name": "random", "trials": 3})
    """

    PREFIX: ClassVar[str] = "method."
    # Planned passes of a search that trains a supernet; 0 leaves the length to the method.
    epochs: float
    # Examples of the validation split that score a configuration with a supernet's weights; 0 for all.
    validation_examples: int

    def candidate_ranks(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        """Return the ranks that the method chooses among: by default those of the space.

        Args:
            ranks: of the space, ascending.
        """
        return ranks

    def planned_epochs(self, of_training: float, steps_per_epoch: int) -> float:
        """Plan the length of a search that trains a supernet: by default that of the training.

        Args:
            of_training: passes of the training over its data.
            steps_per_epoch: optimizer steps of one pass of the search.

        Returns:
            passes over the method's share of the training set.
        """
        return self.epochs or of_training


@dataclass(frozen=True)
class LoggedNumber:
    """A number in the rows of `search/log.jsonl` that the report draws over the steps.

    Args:
        key: its key in a row.
        title: title of the chart.
        note: how to read the chart.
        highest: the largest possible value; None if there is none.
        threshold: name of the setting that is drawn as a dashed line; "" for none.
    """

    key: str
    title: str
    note: str = ""
    highest: float | None = None
    threshold: str = ""


@dataclass(frozen=True)
class MethodEntry:
    """The facts about a method that are known without importing its code.

    Args:
        name: its name for `--method`.
        description: one line for `peftsearch list methods`.
        settings: its settings class.
        driver: the loop that runs it.
        code: "module:name" of the class that implements it, imported when a run needs it. With `Driver.GATES` it is
            called with (space, budgets=, settings=, planned_steps=), with `Driver.GROWTH` with (space, budgets=,
            settings=, seed=), with `Driver.RACE` with (problem, sites, settings), with
            the other searching drivers with (problem, settings).
        space: the space that it searches unless the user names another.
        encodings: names of the encodings that it can search; see `peftsearch.space.encodings`.
        quick: settings of a search of seconds, for the conformance suite.
        charted: numbers of its log that the report draws.
        counter: key in its log over which the report draws the supernet's size once it is above 0, and which
            the progress line shows; "" for the steps.

    Example:
        register_method(MethodEntry("best_of_ten", "the best of ten random draws", BestOfTenSettings, Driver.TRIALS,
                                    code="my_package.best_of_ten:BestOfTen"))
    """

    name: str
    description: str
    settings: type[MethodSettings]
    driver: Driver = Driver.MANUAL
    code: str = ""
    space: str = DEFAULT_SPACE
    encodings: tuple[str, ...] = ("flat",)
    quick: Mapping[str, Any] = field(default_factory=dict)
    charted: tuple[LoggedNumber, ...] = ()
    counter: str = ""

    @property
    def is_search(self) -> bool:
        """Whether the method searches; manual configurations don't."""
        return self.driver is not Driver.MANUAL

    @property
    def progress_counts(self) -> dict[str, str]:
        """Counts of its log that the progress line shows: key -> word."""
        return {"live_modules": "modules"} | ({self.counter: self.counter} if self.counter else {})

    def load(self) -> Callable[..., Any]:
        """Import the class that implements the method."""
        module, _, name = self.code.partition(":")
        return getattr(import_module(module), name)


METHODS: Registry[MethodEntry] = Registry("method", package="peftsearch.methods", group="peftsearch.methods")


def register_method(entry: MethodEntry) -> MethodEntry:
    """Register a method under its name.

    Raises:
        ValueError: for a name that is taken.
    """
    return METHODS.add(entry.name, entry)
