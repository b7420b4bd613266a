import pytest

from peftsearch.errors import BudgetError, UnknownNameError
from peftsearch.methods.manual.method import (
    MANUAL_METHODS,
    baseline_lora,
    cost,
    largest_uniform,
    largest_within,
    parse_roles,
    uniform,
)
from peftsearch.models.discover import find_sites
from peftsearch.modules.peft_module import KINDS
from peftsearch.searches.method import METHODS
from peftsearch.space import Role
from peftsearch.testing.tiny_models import TINY


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


@pytest.mark.parametrize("name", sorted(MANUAL_METHODS))
@pytest.mark.parametrize("budget", [64, 500, 3000, 10**5])
def test_every_manual_method_uses_a_budget_as_far_as_it_goes(sites, name, budget):
    method = MANUAL_METHODS[name]
    if method.kind not in KINDS:
        pytest.skip(f"kind {method.kind} is not registered")
    assert name in METHODS
    try:
        found = largest_within(method.kind, sites=sites, budget=budget, roles=method.roles)
    except BudgetError:
        everywhere = uniform(method.kind, sites=sites, rank=1, roles=method.roles)
        assert all(cost([choice], sites) > budget for choice in everywhere)
        return
    assert 0 < cost(found, sites) <= budget
    everywhere = uniform(method.kind, sites=sites, rank=max(c.rank for c in found) + 1, roles=method.roles)
    assert cost(everywhere, sites) > budget or not KINDS[method.kind].ranked


def test_a_method_stands_in_the_top_layers_where_rank_one_does_not_fit_everywhere(sites):
    roles = frozenset({Role.QUERY, Role.VALUE})  # 128 a layer and rank
    assert {c.site for c in largest_within("lora", sites=sites, budget=200, roles=roles)} == {
        "encoder.1.query",
        "encoder.1.value",
    }
    assert len(largest_within("lora", sites=sites, budget=127, roles=roles)) == 1
    assert largest_within("lora", sites=sites, budget=800, roles=roles) == uniform(
        "lora", sites=sites, rank=3, roles=roles
    )


def test_a_budget_below_every_module_names_the_smallest(sites):
    with pytest.raises(BudgetError, match="smallest lora module has 64 parameters, but the budget is 63"):
        largest_within("lora", sites=sites, budget=63)


def test_a_method_without_ranks_gets_as_many_sites_as_fit(sites):
    found = largest_within("lnfit", sites=sites, budget=100)  # 32 a norm, five norms
    assert {c.site for c in found} == {"encoder.1.attention_norm", "encoder.1.ffn_norm"}


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
