from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel

from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS, ManualMethod, Part
from peftsearch.methods.manual.method import baseline_lora, describe_left_out, parse_roles, place, place_within
from peftsearch.models.discover import find_sites
from peftsearch.modules.costs import cost
from peftsearch.modules.peft_module import KINDS
from peftsearch.searches.method import METHODS
from peftsearch.space import Choice, Role
from peftsearch.testing.tiny_models import TINY

QUERY_AND_VALUE = (frozenset({Role.QUERY, Role.VALUE}),)


@pytest.fixture(scope="module")
def sites():
    return find_sites(TINY["bert"]())  # 2 layers, width 32, feed-forward 64


@pytest.fixture(scope="module")
def mini_lm():
    """The sites of MiniLM with 6 layers of width 384, 22,713,216 parameters without its head."""
    with torch.device("meta"):
        return find_sites(BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536)))


def lora(roles: tuple[frozenset[Role], ...] = ()) -> ManualMethod:
    return ManualMethod("", (Part("lora", roles),))


def names(configuration) -> set[str]:
    return {choice.site for choice in configuration}


def test_a_uniform_configuration_stands_at_every_site_of_its_roles(sites):
    configuration = place(lora(QUERY_AND_VALUE), sites, rank=3)
    assert {(c.site, c.rank) for c in configuration} == {
        (f"encoder.{i}.{r}", 3) for i in range(2) for r in ("query", "value")
    }


def test_without_roles_cross_attention_is_left_out_as_in_s2():
    t5 = find_sites(TINY["t5"]())
    assert not any("cross" in c.site for c in place(lora(), t5, rank=1))
    assert any("cross_value" in c.site for c in place(MANUAL_METHODS["lora_all"], t5, rank=1))


def test_the_largest_uniform_rank_fits_and_the_next_does_not(sites):
    found = place_within(lora((frozenset({Role.QUERY}),)), sites, budget=500)  # 2 * 64 a rank
    assert {c.rank for c in found} == {3} and len(found) == 2


@pytest.mark.parametrize("name", sorted(MANUAL_METHODS))
@pytest.mark.parametrize("family", ["bert", "t5", "llama", "gpt2"])
@pytest.mark.parametrize("budget", [20, 64, 500, 3000, 10**5])
def test_every_manual_method_uses_a_budget_as_far_as_it_goes(name, family, budget):
    method, sites = MANUAL_METHODS[name], find_sites(TINY[family]())
    assert name in METHODS
    everywhere = place(method, sites, rank=1)
    try:
        found = place_within(method, sites, budget=budget)
    except BudgetError:
        narrowest = replace(method, parts=tuple(replace(part, roles=part.roles[-1:]) for part in method.parts))
        assert all(cost([choice], sites) > budget for choice in place(narrowest, sites, rank=1))
        return
    assert 0 < cost(found, sites) <= budget
    assert names(found) <= names(everywhere)
    # One more rank at all places of a ranked kind, or one more layer, does not fit.
    ranked = {choice for choice in found if KINDS[choice.kind].ranked}
    if not describe_left_out(method, found, sites):
        wider = {Choice(c.site, c.kind, c.rank + 1) for c in ranked} | (set(found) - ranked)
        assert cost(wider, sites) > budget or not ranked
    else:
        assert cost(everywhere, sites) > budget and all(choice.rank == 1 for choice in ranked)


def test_a_method_stands_in_the_top_layers_where_rank_one_does_not_fit_everywhere(sites):
    method = lora(QUERY_AND_VALUE)  # 128 a layer and rank
    found = place_within(method, sites, budget=200)
    assert names(found) == {"encoder.1.query", "encoder.1.value"}
    assert describe_left_out(method, found, sites) == (
        "2 of 4 lora modules were placed, from the top layer down to 'encoder.1.query'"
    )
    assert len(place_within(method, sites, budget=127)) == 1
    assert place_within(method, sites, budget=800) == place(method, sites, rank=3)


def test_a_budget_below_every_module_names_the_smallest(sites):
    with pytest.raises(BudgetError, match="smallest lora module has 64 parameters, but the budget is 63"):
        place_within(lora(), sites, budget=63)
    with pytest.raises(BudgetError, match="smallest lnfit module has 32 parameters, but the budget is 31"):
        place_within(MANUAL_METHODS["lnfit_lora"], sites, budget=31)


def test_a_method_without_ranks_gets_as_many_sites_as_fit(sites):
    found = place_within(MANUAL_METHODS["lnfit"], sites, budget=100)  # 32 a norm, five norms
    assert names(found) == {"encoder.1.attention_norm", "encoder.1.ffn_norm"}


def test_norms_come_before_lora_which_gets_the_rest(mini_lm):
    method = MANUAL_METHODS["lnfit_lora"]
    found = place_within(method, mini_lm, budget=22_713)  # 10bp
    assert {c.rank for c in found if c.kind == "lora"} == {3}
    assert found.num_modules_by_kind() == {"lnfit": 13, "lora": 6}
    assert cost(found, mini_lm) == 13 * 384 + 6 * 3 * 2 * 384 == 18_816
    assert describe_left_out(method, found, mini_lm) == ""


def test_norms_that_do_not_all_fit_leave_lora_out_with_a_note(mini_lm):
    method = MANUAL_METHODS["lnfit_lora"]
    found = place_within(method, mini_lm, budget=4_542)  # 2bp; all norms have 4,992
    assert found.num_modules_by_kind() == {"lnfit": 10}
    assert describe_left_out(method, found, mini_lm) == (
        "10 of 13 lnfit modules were placed, from the top layer down to 'encoder.1.attention_norm'; "
        "no lora module was placed"
    )


def test_lora_stands_in_the_top_layers_where_norms_leave_little(mini_lm):
    found = place_within(MANUAL_METHODS["lnfit_lora"], mini_lm, budget=4_992 + 2 * 768)
    assert names(choice for choice in found if choice.kind == "lora") == {"encoder.4.value", "encoder.5.value"}


def test_the_top_half_is_rounded_up(mini_lm):
    found = place_within(MANUAL_METHODS["lora_top"], mini_lm, budget=22_713)
    assert names(found) == {f"encoder.{i}.{role}" for i in (3, 4, 5) for role in ("query", "value")}
    assert cost(found, mini_lm) == 6 * 4 * 768
    with torch.device("meta"):
        five = find_sites(BertModel(BertConfig(hidden_size=48, num_hidden_layers=5)))
    assert {name.split(".")[1] for name in names(place(MANUAL_METHODS["lora_top"], five, rank=1))} == {"2", "3", "4"}


def test_each_stack_has_its_own_top_half():
    found = place(MANUAL_METHODS["lora_top"], find_sites(TINY["t5"]()), rank=1)
    assert names(found) == {f"{stack}.1.{role}" for stack in ("encoder", "decoder") for role in ("query", "value")}


def test_the_fused_map_stands_for_queries_and_values():
    found = place(MANUAL_METHODS["lora_qv"], find_sites(TINY["gpt2"]()), rank=2)
    assert names(found) == {"decoder.0.query_key_value", "decoder.1.query_key_value"}


def test_a_part_whose_roles_the_model_lacks_is_an_error(sites):
    with pytest.raises(ConfigurationError, match="has no role 'query_key_value'"):
        place(lora((frozenset({Role.QUERY_KEY_VALUE}),)), sites, rank=1)


def test_without_a_budget_the_widest_roles_have_the_default_rank(sites):
    found = place(MANUAL_METHODS["uniform_lora"], sites, rank=MANUAL_METHODS["uniform_lora"].rank)
    assert {c.rank for c in found} == {8} and len(found) == 12


@pytest.mark.parametrize(
    "budget,roles,parameters",
    [
        (2000, {"query", "key", "value", "attention_output", "ffn_in", "ffn_out"}, 2 * (4 * 64 + 2 * 96)),
        (600, {"query", "value"}, 512),
        (200, {"value"}, 128),
        (100, {"value"}, 64),
    ],
)
def test_the_baseline_is_the_widest_role_set_that_fits(sites, budget, roles, parameters):
    found = baseline_lora(sites, budget)
    assert {c.site.split(".")[-1] for c in found} == roles
    assert cost(found, sites) == parameters if budget < 2000 else cost(found, sites) <= budget


def test_the_smallest_baseline_stands_in_the_top_layer(sites):
    assert [c.site for c in baseline_lora(sites, 100)] == ["encoder.1.value"]


def test_a_budget_without_room_for_lora_has_no_baseline(sites):
    assert baseline_lora(sites, 10) is None


def test_roles_are_read_and_checked():
    assert parse_roles("query, value") == {Role.QUERY, Role.VALUE}
    assert parse_roles("") is None
    with pytest.raises(UnknownNameError, match="Did you mean 'query'"):
        parse_roles("qurey")
