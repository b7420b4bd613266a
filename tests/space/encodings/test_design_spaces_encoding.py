import random

import pytest
from design_sites import make_space, stack_sites
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.space.encodings.design_spaces.designs import READY, Design
from peftsearch.space.encodings.design_spaces.encoding import DesignSpacesEncoding

BERT_BUDGET = 547_411  # 0.5 % of BERT-base
ENCODER = stack_sites(num_layers=5, width=8, inner=32)
SMALL = DesignSpacesEncoding(make_space(ENCODER), 5000, ENCODER)
BOTH = [*stack_sites("decoder", num_layers=4, width=8, inner=32), *stack_sites(num_layers=8, width=8, inner=32)]
TWO_STACKS = DesignSpacesEncoding(make_space(BOTH), 20_000, BOTH)
POINTS = st.tuples(*(st.integers(0, len(variable.values) - 1) for variable in SMALL.variables))


@pytest.fixture(scope="module")
def bert():
    sites = stack_sites(num_layers=12, width=768, inner=3072)
    return DesignSpacesEncoding(make_space(sites), BERT_BUDGET, sites)


def kinds_of_layers(configuration, stack="encoder"):
    """Layer -> the first letters of its kinds; s stands for the serial adapter."""
    layers: dict[int, set[str]] = {}
    for choice in configuration:
        if choice.site.startswith(stack):
            layers.setdefault(int(choice.site.split(".")[1]), set()).add(choice.kind[0])
    return {layer: "".join(sorted(kinds)) for layer, kinds in sorted(layers.items())}


def test_the_space_has_the_paper_s_numbers_of_choices():
    assert [len(variable.values) for variable in SMALL.variables] == [5, 3, 9, 15, 15, 15, 15]


def test_s4_stands_in_a_spindle_of_layers(bert):
    found = bert.configure(READY["s4"])
    assert list(kinds_of_layers(found).values()) == ["ls"] * 2 + ["ps"] * 4 + ["bps"] * 4 + ["blp"] * 2
    assert 0.997 * BERT_BUDGET < bert.space.cost(found) <= BERT_BUDGET


def test_adapter_and_lora_in_every_layer_of_bert_use_what_rounding_left(bert):
    found = bert.configure(Design("uniform", "uniform", "1234", ("AL",) * 4))
    # 14 and 7 leave 1,827 a layer, of which one more of the adapter takes 1,537; two more fit what is left in sum
    adapters = [c.rank for layer in range(12) for c in found if c.site == f"encoder.{layer}.ffn_out"]
    assert adapters == [15] * 10 + [16] * 2
    assert {c.rank for c in found if c.kind == "lora"} == {7}


def test_uniform_allocation_gives_every_layer_about_the_same(bert):
    found = bert.configure(READY["s4"])
    sizes = [bert.space.cost(c for c in found if f".{layer}." in c.site) for layer in range(12)]
    assert max(sizes) - min(sizes) <= 2 * 3072  # a step of the dearest unit each way


@pytest.mark.parametrize("allocation,is_larger_above", [("increasing", True), ("decreasing", False)])
def test_allocation_changes_sizes_from_the_bottom_to_the_top(bert, allocation, is_larger_above):
    found = bert.configure(Design("uniform", allocation, "1234", ("L",) * 4))
    ranks = [c.rank for layer in range(12) for c in found if c.site == f"encoder.{layer}.query"]
    assert ranks == sorted(ranks, reverse=not is_larger_above) and len(set(ranks)) > 6


def test_groups_that_are_not_tunable_hold_nothing(bert):
    found = bert.configure(Design("uniform", "uniform", "34", ("L", "L", "P", "P")))
    assert kinds_of_layers(found) == dict.fromkeys(range(6, 12), "p")


def test_both_stacks_are_grouped_by_the_same_pattern():
    found = TWO_STACKS.configure(Design("uniform", "uniform", "1234", ("A", "P", "B", "L")))
    assert list(kinds_of_layers(found, "encoder").values()) == ["s", "s", "p", "p", "b", "b", "l", "l"]
    assert list(kinds_of_layers(found, "decoder").values()) == ["s", "p", "b", "l"]


@given(POINTS, st.integers(8, 30_000))
def test_no_point_exceeds_the_budget_or_is_empty(point, budget):
    for encoding in (SMALL.within(budget), TWO_STACKS.within(budget)):
        found = encoding.decode(point)
        assert len(found) > 0 and encoding.space.cost(found) <= budget
        assert not any(c.site.endswith(("embedding_norm", "final_norm")) for c in found)


@given(POINTS, st.integers(1_000, 15_000))
def test_less_than_a_step_of_a_size_is_left(point, budget):
    encoding = SMALL.within(budget)
    found = encoding.decode(point)
    left = budget - encoding.space.cost(found)
    ranks = {c.placement: c.rank for c in found}
    for unit in encoding.units.values():
        size = ranks.get(unit.placements[0], 0)
        larger = unit.larger(size)
        assert size == 0 or larger is None or unit.cost(larger) - unit.cost(size) > left


def test_a_budget_below_a_layer_s_share_goes_to_the_top_layers():
    found = SMALL.within(70).configure(Design("uniform", "uniform", "1234", ("L",) * 4))
    assert kinds_of_layers(found) == {3: "l", 4: "l"}  # 32 in each layer


def test_a_budget_below_a_unit_goes_to_single_modules_of_the_design():
    found = SMALL.within(20).configure(Design("uniform", "uniform", "12", ("B",) * 4))
    assert {c.kind for c in found} == {"bitfit"} and len(found) == 2


def test_a_budget_below_the_design_goes_to_the_cheapest_module():
    found = SMALL.within(8).configure(Design("uniform", "uniform", "1234", ("P",) * 4))
    assert list(found) == [SMALL.space.cheapest]


def test_a_model_of_two_layers_has_two_groups():
    sites = stack_sites(num_layers=2, width=8, inner=32)
    encoding = DesignSpacesEncoding(make_space(sites), 2000, sites)
    found = encoding.configure(Design("spindle", "uniform", "1234", ("L", "P", "A", "A")))
    assert kinds_of_layers(found) == {0: "l", 1: "p"}


def test_the_same_seed_draws_the_same_point():
    draws = [[TWO_STACKS.sample(random.Random(seed)) for seed in range(5)] for _ in range(2)]
    assert draws[0] == draws[1] and len(set(draws[0])) == 5
