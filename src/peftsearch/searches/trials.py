"""What black-box methods propose and are told: whole configurations and their scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from peftsearch.space import Configuration, SearchSpace
from peftsearch.space.encoding import Encoding


@dataclass(frozen=True)
class Fidelity:
    """How much of a full training a trial gets.

    Args:
        share: of the training examples, above 0 and at most 1.
        epochs: passes over them; 0 takes the number of the training settings.
    """

    share: float = 1.0
    epochs: float = 0.0


FULL_FIDELITY = Fidelity()


@dataclass(frozen=True)
class Proposal:
    """A configuration to be scored."""

    configuration: Configuration
    fidelity: Fidelity = FULL_FIDELITY


@dataclass(frozen=True)
class Trial:
    """A scored proposal.

    Args:
        proposal: what was scored.
        parameters: its size, task head excluded.
        score: the selecting metric on the validation split, larger is better; None if the trial failed.
        seconds: wall time; 0 if an equal proposal had been scored before and its score was taken over.
        error: why it failed.
    """

    proposal: Proposal
    parameters: int
    score: float | None
    seconds: float = 0.0
    error: str | None = None

    @property
    def configuration(self) -> Configuration:
        """What was scored."""
        return self.proposal.configuration


@dataclass(frozen=True)
class Problem:
    """What a black-box method may know: nothing of the model, the task or the data.

    Args:
        space: choices and their costs.
        encoding: how they hang together; its budget is the largest of `budgets`.
        budgets: parameters; a result is wanted for each.
        seed: of every random decision.
    """

    space: SearchSpace
    encoding: Encoding
    budgets: tuple[int, ...]
    seed: int


class Proposer(Protocol):
    """A black-box method. Both functions depend on nothing but the problem, the settings and the trials so far.

    So a search resumes by reading the trials of an interrupted one, without any other state.
    """

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        """The next batch of proposals; an empty one ends the search.

        Args:
            trials: of all earlier batches, in the order of their proposals.
        """
        ...

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        """The configuration for each budget of the problem in parameters."""
        ...


def rank_key(trial: Trial) -> tuple[bool, float, int]:
    """Sorts trials from the worst to the best: failed ones first, then by score, ties towards fewer parameters."""
    return trial.score is not None, trial.score or 0.0, -trial.parameters


def best_within(trials: Sequence[Trial], budget: int) -> Trial | None:
    """The best trial of at most `budget` parameters; None if none succeeded. Of equals the first wins."""
    within = [trial for trial in trials if trial.score is not None and trial.parameters <= budget]
    return max(within, key=rank_key, default=None)


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Trials that no other beats in parameters and score, by ascending parameters; each configuration once."""
    front: list[Trial] = []
    best = -math.inf
    for trial in sorted(trials, key=lambda t: (t.parameters, -(t.score or 0.0))):
        if trial.score is not None and trial.score > best:
            front.append(trial)
            best = trial.score
    return front
