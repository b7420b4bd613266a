import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import BudgetError, ConfigurationError
from peftsearch.space import SPACES, Choice, Configuration, Role, SearchSpace, Site


def cost(kind: str, site: Site, rank: int) -> int:
    return rank * (site.in_width + site.out_width) if kind == "lora" else site.out_width


SITES = [
    Site("encoder", 0, Role.QUERY, "a", 4, 4),
    Site("encoder", 0, Role.FFN_IN, "b", 4, 16),
    Site("encoder", 0, Role.FFN_NORM, "c", 4, 4),
    Site("decoder", 0, Role.CROSS_VALUE, "d", 4, 4),
]


def space() -> SearchSpace:
    return SearchSpace.build(SPACES["s2"], sites=SITES, cost=cost)


def test_s2_gives_cross_attention_no_linear_module():
    assert {c.site for c in space().costs} == {"encoder.0.query", "encoder.0.ffn_in", "encoder.0.ffn_norm"}


def test_ranked_kinds_have_every_rank_and_others_one():
    ranks = {(p.site, p.kind): r for p, r in space().ranks.items()}
    assert ranks["encoder.0.query", "lora"] == (1, 4, 8)
    assert ranks["encoder.0.query", "bitfit"] == (1,)


def test_costs_add_up():
    configuration = [Choice("encoder.0.query", "lora", 4), Choice("encoder.0.ffn_norm", "lnfit")]
    assert space().cost(configuration) == 4 * 8 + 4


def test_a_choice_outside_of_the_space_is_refused():
    with pytest.raises(ConfigurationError, match="rank 3 is not in the search space"):
        space().cost_of(Choice("encoder.0.query", "lora", 3))


def test_a_budget_below_the_smallest_choice_names_it():
    with pytest.raises(BudgetError, match="bitfit at encoder.0.ffn_norm with 4 parameters"):
        space().check_budget(3)


def test_a_budget_above_the_space_is_cut_to_it():
    assert space().check_budget(10**9) == space().cost(space().largest)


@given(st.integers(0, 300), st.permutations(list(space().ranks)))
def test_fill_never_exceeds_the_budget_and_leaves_nothing_that_fits(budget, ordered):
    full = space().fill(Configuration(), ordered=ordered, budget=budget)
    rest = budget - space().cost(full)
    chosen = {c.placement: c.rank for c in full}
    assert rest >= 0
    for choice, price in space().costs.items():
        now = chosen.get(choice.placement, 0)
        paid = space().cost_of(Choice(choice.site, choice.kind, now)) if now else 0
        assert choice.rank <= now or price - paid > rest


def test_fill_refuses_what_is_over_the_budget_already():
    with pytest.raises(BudgetError, match="exceeds the budget of 5"):
        space().fill(Configuration.of([Choice("encoder.0.query", "lora", 1)]), ordered=[], budget=5)


def test_names_of_sites_do_not_depend_on_the_spelling_of_the_model():
    assert SITES[0].name == "encoder.0.query"
    assert Site("decoder", 24, Role.FINAL_NORM, "x.y", 4, 4).name == "decoder.final_norm"
