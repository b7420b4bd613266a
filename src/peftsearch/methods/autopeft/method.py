"""AutoPEFT: multi-objective Bayesian optimisation of score and size."""

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from peftsearch.methods.autopeft.hypervolume import (
    EvaluatedPoints,
    ReferencePoint,
    log_expected_hypervolume_improvement,
    reference_score,
)
from peftsearch.methods.autopeft.local_search import UnseenPoints, climb
from peftsearch.methods.autopeft.settings import AutopeftSettings
from peftsearch.methods.autopeft.surrogate import Draws, ModelFittingError, fit_surrogate, rank_to_normal
from peftsearch.searches.trials import Fidelity, Problem, Proposal, Proposer, Trial, best_of_each_budget, pareto_front
from peftsearch.space import Configuration
from peftsearch.space.encoding import Encoding, Point

logger = logging.getLogger(__name__)

# Draws of the true scores over all members of the surrogate.
NUM_DRAWS = 32


class Autopeft(Proposer):
    """Proposes random configurations, then those that a surrogate expects to widen the Pareto front the most.

    Args:
        problem: its encoding is "flat", "autopeft" or "noah".
        settings: the method's settings.

    Source: Zhou et al. 2024 (AutoPEFT); docs/autopeft.md lists where we differ, and why.
    """

    def __init__(self, problem: Problem, settings: AutopeftSettings):
        self.problem, self.settings = problem, settings
        self.fidelity = Fidelity(settings.share, settings.epochs)

    def propose(self, trials: Sequence[Trial]) -> list[Proposal]:
        done = len(trials)
        rng = random.Random(f"{self.problem.seed} {done}")
        unseen = UnseenPoints(self.problem.encoding, (trial.configuration for trial in trials), rng)
        if done < self.settings.initial:
            points = self._initial(unseen, range(done, self.settings.initial))
        else:
            points = self._batch(trials, unseen, min(self.settings.batch, self.settings.evaluations - done))
        return [Proposal(self.problem.encoding.decode(point), self.fidelity) for point in points]

    def results(self, trials: Sequence[Trial]) -> dict[int, Configuration]:
        return best_of_each_budget(trials, self.problem.budgets, otherwise=self._draw)

    def _draw(self, budget: int) -> Configuration:
        encoding = self.problem.encoding.within(budget)
        return encoding.decode(encoding.sample(random.Random(f"{self.problem.seed} {budget}")))

    def _initial(self, unseen: UnseenPoints, numbers: range) -> list[Point]:
        """Draw random points, within the budgets in turn, so that each budget has its share of them."""
        budgets = self.problem.budgets
        points = []
        for number in numbers:
            point = unseen.draw(self.problem.encoding.within(budgets[number % len(budgets)])) or unseen.draw()
            if point is None:
                break
            unseen.take(point)
            points.append(point)
        return points

    def _batch(self, trials: Sequence[Trial], unseen: UnseenPoints, size: int) -> list[Point]:
        """Find points that maximise the acquisition, each as if those before it had scored as expected."""
        if size <= 0:
            return []
        acquisition = self._acquisition(trials)
        points: list[Point] = []
        while len(points) < size and (drawn := unseen.draw()) is not None:
            point = drawn if acquisition is None else self._maximise(acquisition, trials, unseen, drawn)
            unseen.take(point)
            points.append(point)
            acquisition = acquisition and acquisition.believing(point)
        return points

    def _maximise(
        self, acquisition: "Acquisition", trials: Sequence[Trial], unseen: UnseenPoints, drawn: Point
    ) -> Point:
        encode = self.problem.encoding.encode
        front = [encode(trial.configuration) for trial in pareto_front(trials)]
        starts = [near for point in front for near in unseen.neighbours(point)]
        more = [unseen.draw() for _ in range(self.settings.restarts - 1)]
        starts += [drawn, *(point for point in more if point is not None)]
        restarts = self.settings.restarts
        return climb(starts, restarts=restarts, neighbours=unseen.neighbours, value=acquisition.values)

    def _acquisition(self, trials: Sequence[Trial]) -> "Acquisition | None":
        """Fit the acquisition function; None with fewer than two scores or if the fit fails: chance then chooses."""
        succeeded = torch.tensor([trial.score is not None for trial in trials])
        if succeeded.sum() < 2:
            return None
        encoding, budget = self.problem.encoding, max(self.problem.budgets)
        scores = normal_scores(trials)
        y = torch.tensor(scores, dtype=torch.float64)
        x = _vectors(encoding, [encoding.encode(trial.configuration) for trial in trials])
        seed = random.Random(f"surrogate {self.problem.seed} {len(trials)}").randrange(2**31)
        try:
            surrogate = fit_surrogate(x, y, kind=self.settings.surrogate, seed=seed)
        except ModelFittingError as error:
            logger.warning(
                "The surrogate of %d trials could not be fitted, so chance proposes: %s", len(trials), error
            )
            return None
        front = {id(trial) for trial in pareto_front(trials)}
        worst = reference_score(
            [score for trial, score in zip(trials, scores, strict=True) if id(trial) in front], y[succeeded].tolist()
        )
        draws = surrogate.draw(max(1, NUM_DRAWS // len(surrogate.mean)), torch.Generator().manual_seed(seed))
        costs = torch.tensor([math.log10(trial.parameters) for trial in trials], dtype=torch.float64)
        # One parameter above the budget, so that using it up still counts as an improvement.
        return Acquisition(encoding, draws, costs, succeeded, ReferencePoint(math.log10(budget + 1), worst))


def normal_scores(trials: Sequence[Trial]) -> list[float]:
    """Turn scores into normal quantiles of their ranks; failed trials count as the worst that succeeded."""
    worst = min(trial.score for trial in trials if trial.score is not None)
    return rank_to_normal([worst if trial.score is None else trial.score for trial in trials])


@dataclass(frozen=True)
class Acquisition:
    """The acquisition function: log of the expected hypervolume improvement.

    Args:
        encoding: of the points.
        draws: possible true scores of the trials.
        costs: (trials,), log10(parameters).
        counts: (trials,), false for failed trials, which may not stand on the front.
        reference: of the hypervolume, in log10(parameters) and normal quantiles.
    """

    encoding: Encoding
    draws: Draws
    costs: Tensor
    counts: Tensor
    reference: ReferencePoint

    def values(self, points: list[Point]) -> list[float]:
        """Compute the acquisition of each point, larger is better."""
        mean, deviation = self.draws.predict(_vectors(self.encoding, points))
        order = self.costs[self.counts].argsort(stable=True)
        evaluated = EvaluatedPoints(self.costs[self.counts][order], self.draws.scores[:, self.counts][:, order])
        return log_expected_hypervolume_improvement(
            mean, deviation, costs=self._costs(points), evaluated=evaluated, reference=self.reference
        ).tolist()

    def believing(self, point: Point) -> "Acquisition":
        """Return the acquisition function as if a point had been tried and had scored as expected.

        Source: Ginsbourger et al. 2010 (kriging believer), in each draw.
        """
        return replace(
            self,
            draws=self.draws.believing(_vectors(self.encoding, [point])),
            costs=torch.cat([self.costs, self._costs([point])]),
            counts=torch.cat([self.counts, torch.tensor([True])]),
        )

    def _costs(self, points: list[Point]) -> Tensor:
        space, decode = self.encoding.space, self.encoding.decode
        return torch.tensor([math.log10(space.cost(decode(point))) for point in points], dtype=torch.float64)


def _vectors(encoding: Encoding, points: list[Point]) -> Tensor:
    """Make the surrogate's (points, variables) input."""
    return torch.tensor([encoding.vector(point) for point in points], dtype=torch.float64)
