"""Random search: configurations drawn within the budget, as in APET."""

import random
from collections.abc import Sequence

from peftsearch.methods.random.settings import RandomSettings
from peftsearch.searches.trials import Problem, Proposal, Trial, best_within
from peftsearch.space import Configuration


class RandomSearch:
    """Draw a number of configurations for each budget and take the best on validation.

    With one trial for a budget nothing is scored: the draw is the result, which is APET's freezing of the number of
    parameters with everything else left to chance.

    Source: Su et al. 2023 (APET), as BIPEFT's Table 10 uses it; `specs/apet.md`.
    """

    def __init__(self, problem: Problem, settings: RandomSettings):
        self.problem, self.settings = problem, settings

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        if trials or self.settings.trials == 1:
            return []
        return [Proposal(drawn) for budget in self.problem.budgets for drawn in self._draws(budget)]

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        return {budget: self._result(trials, budget) for budget in self.problem.budgets}

    def _result(self, trials: Sequence[Trial], budget: int) -> Configuration:
        best = best_within(trials, budget)
        return best.configuration if best else self._draws(budget)[0]

    def _draws(self, budget: int) -> list[Configuration]:
        encoding = self.problem.encoding.within(budget)
        rngs = (random.Random(f"{self.problem.seed} {budget} {i}") for i in range(self.settings.trials))
        return [encoding.decode(encoding.sample(rng)) for rng in rngs]
