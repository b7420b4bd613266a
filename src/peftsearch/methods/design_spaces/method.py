"""The greedy search of PEFT design spaces, and the paper's designs applied to a model."""

import logging
import random
from collections.abc import Sequence
from statistics import fmean

from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.methods.design_spaces.settings import SPACE, DesignSpacesSettings
from peftsearch.searches.trials import Fidelity, Problem, Proposal, Proposer, Trial
from peftsearch.space import Configuration
from peftsearch.space.encoding import Encoding, Point
from peftsearch.space.encodings.design_spaces.designs import KIND_OF, NUM_GROUPS, READY
from peftsearch.space.encodings.design_spaces.encoding import DesignSpacesEncoding

logger = logging.getLogger(__name__)


class DesignSpacesSearch(Proposer):
    """Freezes one variable after another, in the order of the encoding, at its best choice.

    A stage compares the choices of one variable. The value of a choice is the mean score of a few configurations that
    have it, the frozen choices of earlier stages, and random choices of the later variables. A failed trial counts as
    the worst score observed until then; of equal choices the first wins. With several budgets the largest one drives
    the search.

    Args:
        problem: its space has the encoding "design_spaces".
        settings: the method's settings.

    Source: Chen et al. 2023, section 4 (S0 to S4); see docs/design_spaces.md.
    """

    def __init__(self, problem: Problem, settings: DesignSpacesSettings):
        self.problem, self.settings = problem, settings
        self.encoding = problem.encoding.within(max(problem.budgets))

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        frozen = self.frozen(trials)
        if len(frozen) == len(self.encoding.variables):
            return []
        return [self._draw(frozen, choice, i) for choice, i in self._members(len(frozen))]

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        """Apply the design that was found to each budget."""
        design = self.frozen(trials)
        return {budget: self.encoding.within(budget).decode(design) for budget in self.problem.budgets}

    def frozen(self, trials: Sequence[Trial]) -> Point:
        """Find the best choices of all stages whose trials are complete.

        Returns:
            one choice for each of these stages: the leading variables of an encoded configuration.
        """
        frozen: Point = ()
        start = 0
        for stage in range(len(self.encoding.variables)):
            end = start + len(self._members(stage))
            if len(trials) < end:
                break
            frozen += (self._best_choice(stage, trials[:end], start),)
            start = end
        return frozen

    def choices(self, stage: int) -> list[int]:
        """List the indices of the values that a stage compares, ascending."""
        values = range(len(self.encoding.variables[stage].values))
        if stage < len(self.encoding.variables) - NUM_GROUPS or self.settings.strategies == 0:
            return list(values)
        return sorted(random.Random(f"{self.problem.seed} {stage}").sample(values, self.settings.strategies))

    def _members(self, stage: int) -> list[tuple[int, int]]:
        """List (choice, number) for each configuration of a stage, in the order of their trials."""
        return [(choice, i) for choice in self.choices(stage) for i in range(self.settings.population)]

    def _draw(self, frozen: Point, choice: int, i: int) -> Proposal:
        rng = random.Random(f"{self.problem.seed} {len(frozen)} {choice} {i}")
        fixed = (*frozen, choice)
        point = fixed + self.encoding.sample_any(rng)[len(fixed) :]
        return Proposal(self.encoding.decode(point), Fidelity(self.settings.share, self.settings.epochs))

    def _best_choice(self, stage: int, trials: Sequence[Trial], start: int) -> int:
        """Find the choice with the best mean score.

        Args:
            stage: counted from 0.
            trials: all until the end of the stage.
            start: index of its first trial.
        """
        worst = min((trial.score for trial in trials if trial.score is not None), default=0.0)
        scores: dict[int, list[float]] = {}
        for (choice, _), trial in zip(self._members(stage), trials[start:], strict=True):
            scores.setdefault(choice, []).append(worst if trial.score is None else trial.score)
        return max(scores, key=lambda choice: fmean(scores[choice]))


def ready_design(name: str, encoding: Encoding | None) -> Configuration:
    """Apply one of the paper's designs to a model, in sizes that use the budget.

    Args:
        name: "s4" or "s4-3b".
        encoding: the design space over the model, within the budget; None if there is no budget.

    Raises:
        BudgetError: without a budget.
        ConfigurationError: for another space.
    """
    if encoding is None:
        raise BudgetError(f"The sizes of '{name}' follow from a budget. Give --budget, for example 0.5%.")
    if not isinstance(encoding, DesignSpacesEncoding):
        raise ConfigurationError(f"'{name}' needs the space '{SPACE}'. Leave --space and --method out.")
    missing = {KIND_OF[letter] for strategy in READY[name].strategies for letter in strategy} - encoding.kinds
    if missing:
        logger.warning("'%s' goes without %s, which fits no site of this model.", name, ", ".join(sorted(missing)))
    return encoding.configure(READY[name])
