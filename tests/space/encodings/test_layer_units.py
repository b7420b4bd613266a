import pytest
from design_sites import make_space, stack_sites

from peftsearch.space import Placement
from peftsearch.space.encodings.design_spaces.layer_units import LayerAllocation, LayerUnit, divide_share, fill_layers

BERT_SHARE = 45_617  # 0.5 % of BERT-base over 12 layers


@pytest.fixture(scope="module")
def units():
    """Kind -> unit of a layer of BERT-base."""
    sites = stack_sites(num_layers=1, width=768, inner=3072)
    space = make_space(sites)
    placements: dict[str, list[Placement]] = {}
    for placement in space.ranks:
        if "embedding" not in placement.site and "final" not in placement.site:
            placements.setdefault(placement.kind, []).append(placement)
    return {kind: LayerUnit.of(space, found) for kind, found in placements.items()}


def divided(units, kinds, share):
    layer = LayerAllocation(tuple(units[kind] for kind in kinds), share)
    return {unit.kind: size for unit, size in divide_share(layer).items()}


def test_units_of_bert_base_cost_what_the_table_says(units):
    assert [units["serial_adapter"].cost(r) for r in (1, 2)] == [1537 + 768, 2 * 1537 + 768]
    assert [units["lora"].cost(r) for r in (1, 2)] == [3072, 6144]
    assert [units["prefix"].cost(r) for r in (1, 2)] == [1536, 3072]
    assert units["bitfit"].costs == {1: 8448}


def test_adapter_and_lora_share_a_layer_of_bert_base(units):
    assert divided(units, ("serial_adapter", "lora"), BERT_SHARE) == {"serial_adapter": 14, "lora": 7}


def test_bitfit_is_paid_before_the_others_divide_the_rest(units):
    # (45617 - 8448) / 2 = 18584 for each
    assert divided(units, ("prefix", "bitfit", "lora"), BERT_SHARE) == {"bitfit": 1, "prefix": 12, "lora": 6}


def test_bitfit_above_the_share_is_left_out_unless_it_is_alone(units):
    assert divided(units, ("bitfit", "lora"), 8447) == {"lora": 2}
    assert divided(units, ("bitfit",), 8447) == {"bitfit": 1}


def test_a_small_share_still_gives_every_unit_its_smallest_size(units):
    assert divided(units, ("prefix", "lora"), 100) == {"prefix": 1, "lora": 1}


@pytest.fixture
def layers():
    """Two layers of width 8: LoRA costs 32 a rank, a prefix 16 a token, BitFit 72."""
    space = make_space(stack_sites(num_layers=2, width=8, inner=16))

    def unit(layer, kind):
        return LayerUnit.of(
            space, [p for p in space.ranks if p.site.startswith(f"encoder.{layer}.") and p.kind == kind]
        )

    def make(share, *kinds):
        return [LayerAllocation(tuple(unit(layer, kind) for kind in kinds), share) for layer in range(2)]

    return make


def test_what_rounding_left_goes_to_upper_layers_first(layers):
    found = fill_layers(layers(48, "lora"), 96)
    assert {(c.site, c.rank) for c in found if "query" in c.site} == {("encoder.0.query", 1), ("encoder.1.query", 2)}


def test_the_largest_size_is_reduced_first(layers):
    low, high = layers(20, "lora")[0], layers(130, "lora", "prefix")[1]
    # LoRA: 32 below; above 64 of 65 for LoRA and for the prefix, so 10 too many: the prefix of 4 falls to 3
    found = fill_layers([low, high], 150)
    assert {(c.site, c.kind): c.rank for c in found} == {
        ("encoder.0.query", "lora"): 1,
        ("encoder.0.value", "lora"): 1,
        ("encoder.1.query", "lora"): 2,
        ("encoder.1.value", "lora"): 2,
        ("encoder.1.value", "prefix"): 3,
    }


def test_every_layer_keeps_a_module_before_one_has_two(layers):
    found = fill_layers(layers(20, "lora", "prefix"), 40)
    assert [(c.site, c.kind, c.rank) for c in found] == [
        ("encoder.0.value", "prefix", 1),
        ("encoder.1.value", "prefix", 1),
    ]


def test_the_top_layer_is_the_last_to_lose_its_module(layers):
    assert {c.site for c in fill_layers(layers(16, "lora"), 33)} == {"encoder.1.query", "encoder.1.value"}


def test_a_budget_below_every_unit_holds_none(layers):
    assert len(fill_layers(layers(7, "lora", "prefix"), 15)) == 0
