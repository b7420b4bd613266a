"""The named spaces that are more than a published table."""

import pytest

from peftsearch.models.discover import find_sites
from peftsearch.modules.costs import cost_at
from peftsearch.space import LINEAR_ROLES, SPACES, Role, SearchSpace, Site
from peftsearch.testing.tiny_models import TINY


def built(space: str, family: str) -> SearchSpace:
    return SearchSpace.build(SPACES[space], sites=find_sites(TINY[family]()), cost=cost_at)


def test_mixed_trains_biases_only_where_there_are_some():
    linear, bare = (Site("encoder", 0, Role.VALUE, "a", 4, 4, has_bias=has_bias) for has_bias in (True, False))
    assert SPACES["mixed"].allows("bitfit", linear) and not SPACES["mixed"].allows("bitfit", bare)
    assert SPACES["mixed"].allows("lora", bare) and SPACES["s2"].allows("bitfit", bare)
    assert not SPACES["mixed"].allows("prefix", linear)


# T5 has no biases; Qwen2 has them at queries, keys and values alone, and the space leaves the keys out.
@pytest.mark.parametrize(
    "family,places", [("t5", set()), ("qwen2", {"query", "value"}), ("bert", {"query", "value", "attention_norm"})]
)
def test_the_biases_of_mixed_follow_the_model(family, places):
    found = {p.site.split(".")[-1] for p in built("mixed", family).ranks if p.kind == "bitfit"}
    assert places <= found and "key" not in found
    assert found == places or family == "bert"


@pytest.mark.parametrize("space,largest", [("mixed", 16), ("lora", 32)])
def test_mixed_and_lora_have_lora_at_every_linear_map_up_to_their_largest_rank(space, largest):
    sites, ranks = find_sites(TINY["t5"]()), built(space, "t5").ranks
    linear = {site.name for site in sites if site.role in LINEAR_ROLES}
    assert {p.site for p in ranks if p.kind == "lora"} == linear
    assert {found[-1] for p, found in ranks.items() if p.kind == "lora"} == {largest}
    assert {p.kind for p in ranks} == ({"lora"} if space == "lora" else {"lora", "lnfit"})
