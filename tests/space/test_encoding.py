"""Variables over a space: what their values stand for, and which points fit."""

import random

import pytest

from peftsearch.errors import BudgetError
from peftsearch.space import Choice, Configuration, Role, SearchSpace, Site
from peftsearch.space.encodings.autopeft import AutopeftEncoding
from peftsearch.space.encodings.flat import FlatEncoding
from peftsearch.space.encodings.noah import NoahEncoding

LAYERS = 4
SITES = [
    Site("encoder", layer, role, f"{layer}.{role}", 8, 8)
    for layer in range(LAYERS)
    for role in (Role.QUERY, Role.FFN_OUT)
]
KIND_AT = {Role.QUERY: "lora", Role.FFN_OUT: "serial_adapter"}


def make_space(sizes=(1, 3, 6)) -> SearchSpace:
    return SearchSpace({Choice(s.name, KIND_AT[s.role], r): 10 * r for s in SITES for r in sizes})


def test_a_flat_point_names_a_rank_for_each_placement():
    encoding = FlatEncoding(make_space(), 1000, SITES)
    assert encoding.decode((0,) * 8) == Configuration()
    point = tuple(2 if str(p) == "lora at encoder.1.query" else 0 for p in encoding.placements)
    assert encoding.decode(point) == Configuration.of([Choice("encoder.1.query", "lora", 3)])


@pytest.mark.parametrize("budget", [10, 25, 95, 480])
def test_a_flat_sample_leaves_nothing_that_fits(budget):
    space = make_space()
    encoding = FlatEncoding(space, budget, SITES)
    for seed in range(20):
        found = encoding.decode(encoding.sample(random.Random(seed)))
        left = budget - space.cost(found)
        absent = set(space.ranks) - {choice.placement for choice in found}
        assert left >= 0 and (left < 10 or not absent)


@pytest.mark.parametrize("encoding_class", [AutopeftEncoding, FlatEncoding, NoahEncoding])
def test_a_configuration_has_one_point_that_stands_for_it(encoding_class):
    encoding = encoding_class(make_space(), 300, SITES)
    for seed in range(200):
        configuration = encoding.decode(encoding.sample_any(random.Random(seed)))
        point = encoding.encode(configuration)
        assert encoding.decode(point) == configuration and encoding.encode(encoding.decode(point)) == point


def test_unused_decisions_do_not_make_another_point():
    encoding = AutopeftEncoding(make_space(), 1000, SITES)
    assert encoding.encode(encoding.decode((2, 1, 0, 0, 0, 0))) == encoding.encode(Configuration()) == (0,) * 6
    noah = NoahEncoding(make_space(), 1000, SITES)
    assert noah.encode(noah.decode((1, 0, 2, 2, 2, 2, 1, 1, 1, 1))) == (1, 0, 2, 0, 0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("encoding_class", [AutopeftEncoding, FlatEncoding, NoahEncoding])
def test_samples_of_any_size_fit_and_are_not_all_large(encoding_class):
    space = make_space()
    encoding = encoding_class(space, 200, SITES)
    costs = [space.cost(encoding.decode(encoding.sample_any_size(random.Random(seed)))) for seed in range(40)]
    assert 0 < min(costs) <= 80 and max(costs) <= 200


def test_repair_keeps_what_fits_and_meets_the_budget():
    space = make_space()
    encoding = FlatEncoding(space, 100, SITES)
    full = tuple(3 for _ in encoding.placements)
    repaired = encoding.repaired(full, random.Random(0))
    assert 90 < space.cost(encoding.decode(repaired)) <= 100
    inside = tuple(1 if i == 0 else 0 for i in range(8))
    assert encoding.repaired(inside, random.Random(0))[0] == 1


def test_autopeft_ties_sizes_by_kind_and_layers_by_one_mask():
    encoding = AutopeftEncoding(make_space(), 1000, SITES)
    assert [v.name for v in encoding.variables[:3]] == ["lora size", "serial_adapter size", "encoder 0"]
    assert len(encoding.variables) == 2 + LAYERS
    # LoRA at rank 3, adapters at size 1, layers 1 and 3
    found = encoding.decode((2, 1, 0, 1, 0, 1))
    expected = [Choice(f"encoder.{n}.query", "lora", 3) for n in (1, 3)]
    expected += [Choice(f"encoder.{n}.ffn_out", "serial_adapter", 1) for n in (1, 3)]
    assert found == Configuration.of(expected)
    assert encoding.decode((0, 0, 1, 1, 1, 1)) == Configuration() and not encoding.fits((0, 0, 1, 1, 1, 1))


def test_noah_gives_a_kind_its_first_layers_and_a_size_in_each():
    encoding = NoahEncoding(make_space(), 1000, SITES)
    assert len(encoding.variables) == 2 + 2 * LAYERS
    # LoRA in the first half with sizes 3 and 1; no adapters
    found = encoding.decode((2, 0, 1, 0, 2, 2, 0, 0, 0, 0))
    assert found == Configuration.of([Choice("encoder.0.query", "lora", 3), Choice("encoder.1.query", "lora", 1)])
    assert encoding.groups == [(0, 2, 3, 4, 5), (1, 6, 7, 8, 9)]


@pytest.mark.parametrize("encoding_class", [FlatEncoding, AutopeftEncoding, NoahEncoding])
def test_every_sample_fits_and_neighbours_differ_in_one_variable(encoding_class):
    encoding = encoding_class(make_space(), 90, SITES)
    for seed in range(10):
        point = encoding.sample(random.Random(seed))
        assert encoding.fits(point)
        assert all(0 < x < 1 for x in encoding.vector(point))
        for other in encoding.neighbours(point):
            assert sum(a != b for a, b in zip(point, other)) == 1
    assert encoding.within(20).budget == 20 and encoding.budget == 90


def test_a_budget_that_no_point_fits_is_refused():
    with pytest.raises(BudgetError, match="Raise the budget"):
        AutopeftEncoding(make_space(), 5, SITES).sample(random.Random(0))
