import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.space.encodings.design_spaces.designs import (
    ALLOCATIONS,
    GROUPINGS,
    STRATEGIES,
    group_of_layers,
    group_sizes,
    layer_weight,
    split_budget,
)


@pytest.mark.parametrize(
    "grouping,of_12,of_24,of_48",
    [
        ("increasing", (1, 2, 4, 5), (2, 5, 7, 10), (5, 10, 14, 19)),
        ("uniform", (3, 3, 3, 3), (6, 6, 6, 6), (12, 12, 12, 12)),
        ("decreasing", (5, 4, 2, 1), (10, 7, 5, 2), (19, 14, 10, 5)),
        ("spindle", (2, 4, 4, 2), (4, 8, 8, 4), (8, 16, 16, 8)),
        ("bottleneck", (4, 2, 2, 4), (8, 4, 4, 8), (16, 8, 8, 16)),
    ],
)
def test_group_sizes_are_those_of_the_table(grouping, of_12, of_24, of_48):
    assert [group_sizes(grouping, n) for n in (12, 24, 48)] == [of_12, of_24, of_48]


@given(st.sampled_from(list(GROUPINGS)), st.integers(4, 200))
def test_groups_are_never_empty_and_hold_every_layer(grouping, num_layers):
    sizes = group_sizes(grouping, num_layers)
    assert min(sizes) >= 1 and sum(sizes) == num_layers
    assert list(group_of_layers(grouping, num_layers)) == sorted(group_of_layers(grouping, num_layers))


def test_each_of_few_layers_is_a_group():
    assert group_sizes("spindle", 2) == (1, 1, 0, 0)
    assert group_of_layers("increasing", 3) == (0, 1, 2)


@pytest.mark.parametrize(
    "allocation,shares", [("increasing", [10, 20, 30, 40]), ("uniform", [25] * 4), ("decreasing", [40, 30, 20, 10])]
)
def test_layers_get_parameters_in_proportion(allocation, shares):
    assert split_budget(100, [layer_weight(allocation, layer, 4) for layer in range(4)]) == shares


@given(st.sampled_from(ALLOCATIONS), st.integers(1, 60), st.integers(0, 10**6))
def test_shares_use_the_budget_up_to_a_parameter_a_layer(allocation, num_layers, budget):
    shares = split_budget(budget, [layer_weight(allocation, layer, num_layers) for layer in range(num_layers)])
    assert budget - num_layers < sum(shares) <= budget


def test_half_a_percent_of_bert_base_is_45617_in_each_layer():
    assert split_budget(547_411, [1] * 12) == [45_617] * 12


def test_a_strategy_is_any_non_empty_set_of_the_four_kinds():
    assert len(STRATEGIES) == len({frozenset(strategy) for strategy in STRATEGIES}) == 15
    assert "" not in STRATEGIES
