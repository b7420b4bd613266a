"""Random search: configurations drawn at random within the budget, as in APET."""

import random
from collections.abc import Sequence

from peftsearch.methods.random.settings import RandomSettings
from peftsearch.searches.trials import Problem, Proposal, Proposer, Trial, best_of_each_budget
from peftsearch.space import Configuration


class RandomSearch(Proposer):
    """Draws a number of configurations for each budget; the one with the best validation score is the result.

    A single draw for each budget is not scored but is the result. This is APET: the number of parameters is fixed, and
    everything else is left to chance.

    Args:
        problem: gives encoding and budgets.
        settings: the method's settings.

    Source: Su et al. 2023 (APET), as BIPEFT's Table 10 uses it.
    """

    def __init__(self, problem: Problem, settings: RandomSettings):
        self.problem, self.settings = problem, settings

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        if trials or self.settings.trials == 1:
            return []
        return [Proposal(drawn) for budget in self.problem.budgets for drawn in self.draws(budget)]

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        return best_of_each_budget(trials, self.problem.budgets, otherwise=lambda budget: self.draws(budget)[0])

    def draws(self, budget: int) -> list[Configuration]:
        """The configurations that are drawn for a budget."""
        encoding = self.problem.encoding.within(budget)
        rngs = (random.Random(f"{self.problem.seed} {budget} {i}") for i in range(self.settings.trials))
        return [encoding.decode(encoding.sample(rng)) for rng in rngs]
