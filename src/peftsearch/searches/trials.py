"""The interface of black-box methods: they propose configurations and get trials, which are scored proposals."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from peftsearch.space import Configuration, SearchSpace
from peftsearch.space.encoding import Encoding

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fidelity:
    """The part of a full training that a trial gets.

    Args:
        share: share of the training examples, above 0 and at most 1.
        epochs: passes over them; 0 takes the number of the training settings.
    """

    share: float = 1.0
    epochs: float = 0.0


FULL_FIDELITY = Fidelity()


@dataclass(frozen=True)
class Proposal:
    """A configuration to be scored.

    Args:
        configuration: the modules to train.
        fidelity: the part of a full training to train them for.
    """

    configuration: Configuration
    fidelity: Fidelity = FULL_FIDELITY


@dataclass(frozen=True)
class Trial:
    """A scored proposal.

    Args:
        proposal: the proposal.
        parameters: of its configuration, task head excluded.
        score: the selecting metric on the validation split, larger is better, so that of an error has its sign
            changed; None if the trial failed.
        seconds: wall time; 0 if the score is that of an equal earlier proposal.
        error: the reason of a failure; None if the trial succeeded.
    """

    proposal: Proposal
    parameters: int
    score: float | None
    seconds: float = 0.0
    error: str | None = None

    @property
    def configuration(self) -> Configuration:
        """The configuration that was scored."""
        return self.proposal.configuration


@dataclass(frozen=True)
class Problem:
    """All that a black-box method knows: nothing of the model, the task or the data.

    Args:
        space: choices with their costs.
        encoding: the space as variables; its budget is the largest of `budgets`.
        budgets: in parameters, task head excluded; the method finds a configuration for each.
        seed: of every random decision.
    """

    space: SearchSpace
    encoding: Encoding
    budgets: tuple[int, ...]
    seed: int


class Proposer(Protocol):
    """A black-box method.

    Its results depend only on the problem, the settings and the trials so far, so that an interrupted search
    resumes from its recorded trials without any other state.
    """

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        """Propose the next batch of configurations; an empty batch ends the search.

        Args:
            trials: those of all earlier batches, in the order of their proposals.
        """
        ...

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        """Return the configuration for each budget of the problem: budget in parameters -> configuration.

        Args:
            trials: all trials of the search.
        """
        ...


def rank_key(trial: Trial) -> tuple[bool, float, int]:
    """Key that sorts trials from the worst to the best: failed ones, then by score; of ties the smaller is better."""
    return trial.score is not None, trial.score or 0.0, -trial.parameters


def best_within(trials: Sequence[Trial], budget: int) -> Trial | None:
    """Find the best trial of at most `budget` parameters, the first of equals; None if no such trial succeeded."""
    within = [trial for trial in trials if trial.score is not None and trial.parameters <= budget]
    return max(within, key=rank_key, default=None)


def best_of_each_budget(
    trials: Sequence[Trial], budgets: Iterable[int], *, otherwise: Callable[[int], Configuration]
) -> dict[int, Configuration]:
    """The configuration of the best trial within each budget; where there is none, another one, and a warning.

    Args:
        trials: all trials of a search.
        budgets: in parameters.
        otherwise: gives a configuration within a budget.

    Returns:
        budget -> configuration.
    """
    found = {}
    for budget in budgets:
        best = best_within(trials, budget)
        if best is None and trials:
            logger.warning(
                "No successful trial has at most %s parameters; one that has is drawn at random.", f"{budget:,}"
            )
        found[budget] = best.configuration if best else otherwise(budget)
    return found


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Find the trials that no other beats in both parameters and score, by ascending parameters."""
    front: list[Trial] = []
    best = -math.inf
    for trial in sorted(trials, key=lambda t: (t.parameters, -(t.score or 0.0))):
        if trial.score is not None and trial.score > best:
            front.append(trial)
            best = trial.score
    return front
