import pytest
from tiny_models import TINY

from peftsearch.errors import BudgetError, UnknownNameError
from peftsearch.methods.manual import baseline_lora, cost, largest_uniform, parse_roles, uniform
from peftsearch.models.discover import find_sites
from peftsearch.space import Role


@pytest.fixture(scope="module")
def sites():
    return find_sites(TINY["bert"]())  # 2 layers, width 32, feed-forward 64


def test_a_uniform_configuration_stands_at_every_site_of_its_roles(sites):
    configuration = uniform("lora", sites=sites, rank=3, roles=frozenset({Role.QUERY, Role.VALUE}))
    assert {(c.site, c.rank) for c in configuration} == {
        (f"encoder.{i}.{r}", 3) for i in range(2) for r in ("query", "value")
    }


def test_without_roles_cross_attention_is_left_out_as_in_s2():
    t5 = find_sites(TINY["t5"]())
    assert not any("cross" in c.site for c in uniform("lora", sites=t5, rank=1))


def test_the_largest_uniform_rank_fits_and_the_next_does_not(sites):
    roles = frozenset({Role.QUERY})
    found = largest_uniform("lora", sites=sites, budget=500, roles=roles)  # 2 * 64 a rank
    assert {c.rank for c in found} == {3}


def test_a_budget_below_rank_one_is_an_error_with_the_need(sites):
    with pytest.raises(BudgetError, match="at least 128"):
        largest_uniform("lora", sites=sites, budget=127, roles=frozenset({Role.QUERY}))


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
