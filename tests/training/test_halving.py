"""Successive halving of learning rates, against schedules and losses made by hand."""

import math

import pytest

from peftsearch.training.halving import (
    Round,
    affordable,
    are_close,
    candidate_rates,
    close_round,
    cost_in_trainings,
    highest_cost,
    keeps_all,
    leads,
    next_higher,
    rate_of_search,
    rounds_of,
    survivors,
)


def test_rounds_end_after_an_eighth_and_a_quarter_of_the_steps():
    assert rounds_of(160) == (Round(20, 2), Round(40, 1))
    assert rounds_of(100) == (Round(13, 2), Round(25, 1))


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, ()), (2, (Round(1, 1),)), (4, (Round(1, 1),)), (5, (Round(1, 2), Round(2, 1)))]
)
def test_short_trainings_have_fewer_rounds(steps, expected):
    assert rounds_of(steps) == expected


def test_the_lowest_loss_and_the_rate_above_it_survive():
    losses = {1e-3: 0.9, 3e-3: 0.4, 1e-2: 0.5, 3e-2: 0.8}
    assert survivors(losses, 2) == (3e-3, 1e-2) and survivors(losses, 1) == (3e-3,)
    assert survivors({1e-3: 0.3, 3e-3: 0.5, 1e-2: 0.4}, 2) == (1e-3, 3e-3)
    # Nothing above the best, or nothing that works.
    assert survivors({1e-3: 0.9, 3e-3: 0.5, 1e-2: 0.4}, 2) == (3e-3, 1e-2)
    assert survivors({1e-3: 0.9, 3e-3: 0.5, 1e-2: math.inf}, 2) == (1e-3, 3e-3)
    assert survivors({3e-3: 0.3, 1e-2: 0.3}, 1) == (1e-2,)
    assert survivors({3e-3: math.inf, 1e-2: math.inf}, 1) == (1e-2,)


def test_no_step_is_paid_twice():
    # 3 rates to step 20, 2 on to step 40, 1 on to step 160.
    assert cost_in_trainings(160, 3) == pytest.approx((3 * 20 + 2 * 20 + 120) / 160)
    assert cost_in_trainings(160, 1) == 1


def test_no_training_costs_more_than_it_may():
    rates = candidate_rates(384)
    assert affordable(rates, 4) == rates and affordable(rates, 3) == (3e-3, 1e-2)
    costs = {steps: cost_in_trainings(steps, len(affordable(rates, steps))) for steps in range(1, 3000)}
    assert max(costs.values()) <= 1.6


def test_two_close_rates_go_on_while_that_costs_no_more_than_it_may():
    # Two rates to step 40, and on to step 72 of 160: 1.375 and 0.2 trainings.
    assert close_round(160, 3) == Round(72, 1)
    # Of 12 steps 2, 3 and 6 would be 20 in all; of one step there is nothing to compare.
    assert close_round(12, 3) is None and close_round(12, 2) == Round(6, 1) and close_round(1, 2) is None
    rates = candidate_rates(384)
    for steps in range(1, 3000):
        tried = affordable(rates, steps)
        if further := close_round(steps, len(tried)):
            more = (further.step - rounds_of(steps)[-1].step) / steps
            assert cost_in_trainings(steps, len(tried)) + more <= 1.6


def test_rates_are_close_within_a_twentieth_of_the_lower_loss():
    assert are_close({1e-2: 0.563, 3e-2: 0.553}) and are_close({1e-2: 0.5, 3e-2: 0.525, 3e-3: 0.9})
    assert not are_close({1e-2: 0.329, 3e-2: 0.375}) and not are_close({1e-2: 0.5, 3e-2: math.inf})


def test_all_rates_go_on_where_nothing_tells_them_apart_and_that_costs_no_more_than_it_may():
    close = {3e-3: 0.609, 1e-2: 0.606, 3e-2: 0.625}
    # 3 rates to step 40 of 160: 1.5 trainings; of 5 steps the second round ends after 2: 1.8.
    assert keeps_all(close, 160) and not keeps_all(close, 5) and not keeps_all(close, 4)
    assert not keeps_all(close | {3e-2: 0.64}, 160) and not keeps_all(close | {3e-2: math.inf}, 160)
    assert not keeps_all(dict.fromkeys(close, math.inf), 160)


def test_what_a_search_can_cost_at_most():
    # Two close rates to step 72 of 160; of 12 steps three to step 3; of 5 steps neither.
    assert highest_cost(160, 3) == pytest.approx(cost_in_trainings(160, 3) + 32 / 160)
    assert highest_cost(12, 3) == pytest.approx((3 * 3 + 9) / 12) and highest_cost(5, 3) == cost_in_trainings(5, 3)
    rates = candidate_rates(384)
    assert max(highest_cost(steps, len(affordable(rates, steps))) for steps in range(1, 3000)) <= 1.6


def test_a_rate_leads_by_more_than_a_twentieth():
    losses = {3e-3: 1.1, 1e-2: 1.06, 3e-2: 1.0}
    assert leads(3e-2, losses) and not leads(1e-2, losses) and not leads(3e-2, losses | {1e-2: 1.04})
    # Of trainings that broke down none leads, and every other one does.
    assert leads(3e-2, losses | {1e-2: math.inf}) and not leads(3e-2, dict.fromkeys(losses, math.inf))


def test_higher_rates_are_half_a_decade_apart():
    rates, found = candidate_rates(4096), []
    for rate in (*rates[:2], *candidate_rates(384)):
        found.append(next_higher(rate))
    assert found == [3e-4, 1e-3, 1e-2, 3e-2, 0.1]


def test_wider_models_try_lower_rates():
    assert candidate_rates(384) == (3e-3, 1e-2, 3e-2)
    assert candidate_rates(768) == (1e-3, 3e-3, 1e-2)
    assert candidate_rates(4096) == (1e-4, 3e-4, 1e-3)
    assert rate_of_search(candidate_rates(384)) == 1e-2
