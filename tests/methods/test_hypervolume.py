"""Expected hypervolume improvement with a known cost, by hand and by Monte Carlo."""

import math

import pytest
import torch
from scipy.stats import norm

from peftsearch.methods.autopeft.hypervolume import (
    EvaluatedPoints,
    ReferencePoint,
    log_expected_hypervolume_improvement,
    log_expected_improvement,
    reference_score,
)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def area(points, reference: ReferencePoint) -> float:
    """Dominated area: the union of the points' rectangles, as a sum over vertical strips."""
    ends = sorted({min(c, reference.cost) for c, _ in points} | {reference.cost})
    strips = zip(ends, ends[1:])
    best = lambda left: max([y for c, y in points if c <= left] + [reference.score])  # noqa: E731
    return sum((right - left) * (best(left) - reference.score) for left, right in strips)


FRONT = [(1.0, 0.3), (2.0, 0.8)]
EVALUATED = EvaluatedPoints(tensor(1.0, 2.0), tensor([0.3, 0.8]))
REFERENCE = ReferencePoint(cost=3.0, score=0.0)


def value(mean: float, deviation: float, cost: float, evaluated=EVALUATED, reference=REFERENCE) -> float:
    draws = len(evaluated.scores)
    log = log_expected_hypervolume_improvement(
        torch.full((draws, 1), mean, dtype=torch.float64),
        torch.full((draws, 1), deviation, dtype=torch.float64),
        costs=tensor(cost),
        evaluated=evaluated,
        reference=reference,
    )
    return math.exp(log.item())


def test_two_point_front_by_hand():
    # With next to no uncertainty the score is 0.5: from cost 1.5 to 2 it lifts the stair at 0.3 by 0.2.
    assert value(0.5, 1e-9, 1.5) == pytest.approx(0.5 * 0.2)
    # From 0.5: 0.5 wide over 0, then 1 wide over 0.3.
    assert value(0.5, 1e-9, 0.5) == pytest.approx(0.5 * 0.5 + 1.0 * 0.2)
    # Above the best from 2.5 to the reference.
    assert value(1.0, 1e-9, 2.5) == pytest.approx(0.5 * 0.2)
    # An uncertain score: each stair has its own expected improvement.
    z = (0.5 - 0.3) / 0.4
    over_first = (0.5 - 0.3) * norm.cdf(z) + 0.4 * norm.pdf(z)
    z = (0.5 - 0.8) / 0.4
    over_second = (0.5 - 0.8) * norm.cdf(z) + 0.4 * norm.pdf(z)
    assert value(0.5, 0.4, 1.5) == pytest.approx(0.5 * over_first + 1.0 * over_second)


@pytest.mark.parametrize("cost", [0.2, 1.0, 1.3, 2.0, 2.9])
@pytest.mark.parametrize("mean,deviation", [(0.2, 0.3), (0.9, 0.2), (-0.5, 0.6)])
def test_it_agrees_with_monte_carlo(mean, deviation, cost):
    points = [*FRONT, (1.5, 0.1), (0.7, -0.4)]  # dominated, and below the reference
    evaluated = EvaluatedPoints(tensor(0.7, 1.0, 1.5, 2.0), tensor([-0.4, 0.3, 0.1, 0.8]))
    draws = mean + deviation * torch.randn(4000, dtype=torch.float64)
    before = area(points, REFERENCE)
    gains = torch.tensor([area([*points, (cost, y)], REFERENCE) - before for y in draws.tolist()])
    error = gains.std() / len(gains) ** 0.5
    # 4 standard errors: 1 of 16,000 such comparisons fails by chance.
    assert abs(value(mean, deviation, cost, evaluated) - gains.mean()) < 4 * error + 1e-9


def test_draws_of_the_past_are_averaged():
    evaluated = EvaluatedPoints(tensor(1.0, 2.0), torch.tensor([[0.3, 0.8], [0.9, 0.1]], dtype=torch.float64))
    single = [value(0.5, 0.4, 1.2, EvaluatedPoints(evaluated.costs, evaluated.scores[i : i + 1])) for i in range(2)]
    assert value(0.5, 0.4, 1.2, evaluated) == pytest.approx(sum(single) / 2)


def test_a_candidate_that_costs_the_reference_gains_nothing():
    assert value(5.0, 1.0, 3.0) == 0 and value(5.0, 1.0, 4.0) == 0


def test_the_logarithm_is_right_from_certain_to_hopeless():
    for z in (5.0, 0.0, -0.999, -1.001, -8.0):
        exact = math.log(norm.pdf(z) + z * norm.cdf(z))
        found = log_expected_improvement(tensor(z), tensor(1.0), tensor(0.0)).item()
        assert found == pytest.approx(exact, rel=1e-6)
    far = log_expected_improvement(tensor(-1e2, -0.999e4, -1.001e4, -1e6), tensor(1, 1, 1, 1), tensor(0.0))
    assert far.isfinite().all() and (far.diff() < 0).all()
    # phi(z) / z^2, the limit
    assert far[0].item() == pytest.approx(norm.logpdf(1e2) - 2 * math.log(1e2), rel=1e-4)


def test_the_reference_lies_below_the_front():
    assert reference_score([0.5, 0.9], [0.1, 0.5, 0.9]) == pytest.approx(0.5 - 0.08)
    assert reference_score([0.5], [0.5, 0.5]) < 0.5
