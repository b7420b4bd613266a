"""The rules of BIPEFT against values worked out by hand."""

import math

import pytest
import torch

from peftsearch.methods.bipeft.rules import (
    choose_removals,
    count_ranks_to_fix,
    dimension_stability,
    fill_indicator,
    indicator_agreement,
    indicator_stability,
    scheduled_stage,
)

GONE = -torch.inf


def test_the_indicator_skips_what_does_not_fit():
    scores, sizes = torch.tensor([5.0, 4.0, 3.0, 2.0]), torch.tensor([4.0, 9.0, 5.0, 2.0])
    assert fill_indicator(scores, sizes, 10).tolist() == [1, 0, 1, 0]


def test_the_indicator_never_takes_removed_modules():
    scores, sizes = torch.tensor([GONE, 1.0]), torch.tensor([1.0, 1.0])
    assert fill_indicator(scores, sizes, 10).tolist() == [0, 1]


def test_stability_is_the_mean_cosine_of_consecutive_pairs():
    a, b = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert indicator_stability([a, a, b], 2) == pytest.approx((1.0 + 0.5) / 2)


def test_stability_needs_a_full_window():
    a = torch.ones(3)
    assert indicator_stability([a, a], 2) is None


def test_agreement_is_the_cosine_beyond_that_of_random_indicators():
    first, second = torch.tensor([1.0, 1, 1, 0, 0, 0]), torch.tensor([1.0, 1, 0, 1, 0, 0])
    # Both take a half: by chance 1/2, and the cosine is 2/3.
    assert indicator_agreement([first, second], 1) == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))
    assert indicator_agreement([first, first], 1) == pytest.approx(1.0)
    assert indicator_agreement([torch.ones(3), torch.ones(3)], 1) == 1.0
    assert indicator_agreement([first], 1) is None


def test_agreement_of_random_indicators_is_zero_on_the_mean_where_their_cosine_is_large():
    generator = torch.Generator().manual_seed(0)
    drawn = [(torch.rand(400, generator=generator) < 0.8).float() for _ in range(60)]
    assert indicator_stability(drawn, 59) == pytest.approx(0.8, abs=0.02)
    assert indicator_agreement(drawn, 59) == pytest.approx(0.0, abs=0.05)


def test_stability_looks_only_at_the_window():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert indicator_stability([a, b, b, b], 2) == pytest.approx(1.0)


def test_removals_are_the_lowest_scores_within_the_reduction():
    scores, sizes = torch.tensor([3.0, 1.0, GONE, 2.0]), torch.tensor([10.0, 4.0, 1.0, 5.0])
    assert choose_removals(scores, sizes, reduction=9, at_least_one=True).tolist() == [1, 3]
    assert choose_removals(scores, sizes, reduction=8.9, at_least_one=True).tolist() == [1]


def test_one_module_goes_even_if_it_is_larger_than_the_reduction():
    scores, sizes = torch.tensor([3.0, 1.0]), torch.tensor([10.0, 4.0])
    assert choose_removals(scores, sizes, reduction=1, at_least_one=True).tolist() == [1]
    assert choose_removals(scores, sizes, reduction=1, at_least_one=False).tolist() == []


def test_dsi_is_deviation_times_divergence():
    before, now = [0.0, 0.0], [math.log(3.0), 0.0]
    history = torch.tensor([[before], [now]])
    deviation = (math.log(3.0) / 2 + 0.0) / 2
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert dimension_stability(history).item() == pytest.approx(deviation * divergence, rel=1e-5)


def test_dsi_ignores_ranks_that_do_not_exist():
    history = torch.tensor([[[0.0, 0.0, GONE]], [[math.log(3.0), 0.0, GONE]]])
    assert dimension_stability(history).item() == pytest.approx(dimension_stability(history[:, :, :2]).item())


def test_logits_that_never_moved_are_the_most_stable():
    moved = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    assert dimension_stability(moved).tolist()[0] == 0 < dimension_stability(moved).tolist()[1]


def test_the_number_of_ranks_to_fix_follows_equation_10():
    last, now = torch.tensor([8.0, 4.0, 0.0]), torch.tensor([8.0, 0.0, 0.0])
    cosine = 64 / (8 * 80**0.5)
    assert count_ranks_to_fix(last, now, unfixed=30, triggers_left=3) == math.floor(cosine * 30 / 3)
    assert count_ranks_to_fix(now, now, unfixed=7, triggers_left=1) == 7
    assert count_ranks_to_fix(torch.zeros(3), now, unfixed=7, triggers_left=1) == 0


@pytest.mark.parametrize(
    "order,expected",
    [
        ("iterative", ["binary", "rank", "binary", "rank"]),
        ("binary_then_rank", ["binary", "binary", "rank", "rank"]),
        ("rank_then_binary", ["rank", "rank", "binary", "binary"]),
    ],
)
def test_the_order_of_the_stages(order, expected):
    assert [scheduled_stage(order, ("binary", "rank"), step=i, planned_steps=4) for i in range(4)] == expected
