import math

import pytest

from peftsearch.errors import ConfigurationError
from peftsearch.space import Choice, Configuration, Role, Site
from peftsearch.space.transfer import depths, require_sites, transfer


def sites(num_layers: int, stack: str = "encoder", roles=(Role.QUERY, Role.FFN_OUT)) -> list[Site]:
    layered = [
        Site(stack, layer, role, f"{stack}.{layer}.{role}", 4, 4) for layer in range(num_layers) for role in roles
    ]
    return [*layered, Site(stack, num_layers, Role.FINAL_NORM, f"{stack}.norm", 4, 4)]


def one_a_layer(num_layers: int) -> Configuration:
    """LoRA whose rank says which layer it is from, counted from 1."""
    return Configuration.of(Choice(f"encoder.{layer}.query", "lora", layer + 1) for layer in range(num_layers))


@pytest.mark.parametrize("source", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("target", [1, 2, 4, 6, 12, 24])
def test_every_layer_takes_that_of_the_same_relative_height(source, target):
    found = transfer(one_a_layer(source), {"encoder": source}, sites(target))
    expected = {f"encoder.{t}.query": math.floor((t + 0.5) * source / target + 1e-9) + 1 for t in range(target)}
    assert {choice.site: choice.rank for choice in found} == expected


@pytest.mark.parametrize("depth", [1, 2, 12])
def test_equal_depths_change_nothing(depth):
    configuration = one_a_layer(depth)
    assert transfer(configuration, {"encoder": depth}, sites(depth)) == configuration


def test_a_site_that_a_stack_has_once_keeps_its_choices():
    configuration = Configuration.of([Choice("encoder.final_norm", "lnfit")])
    assert transfer(configuration, {"encoder": 12}, sites(4)) == configuration


def test_stacks_are_stretched_each_by_its_own_depth():
    both = sites(4) + sites(2, "decoder")
    configuration = Configuration.of([Choice("encoder.1.query", "lora"), Choice("decoder.1.query", "lora")])
    found = transfer(configuration, {"encoder": 2, "decoder": 2}, both)
    assert {c.site for c in found} == {"encoder.2.query", "encoder.3.query", "decoder.1.query"}


def test_depths_do_not_count_the_final_norm():
    assert depths(sites(4) + sites(2, "decoder")) == {"encoder": 4, "decoder": 2}


def test_what_the_target_lacks_is_named_with_what_it_has():
    value = Configuration.of([Choice("encoder.0.value", "lora")])
    with pytest.raises(
        ConfigurationError, match=r"'encoder.0.value'.*2 layers with the roles ffn_out, final_norm, query"
    ):
        transfer(value, {"encoder": 2}, sites(2))
    with pytest.raises(ConfigurationError, match="has no encoder, but: decoder"):
        transfer(one_a_layer(2), {"encoder": 2}, sites(2, "decoder"))
    with pytest.raises(ConfigurationError, match="its own model has 1 layers"):
        transfer(one_a_layer(2), {"encoder": 1}, sites(2))


def test_a_configuration_without_its_run_must_fit_as_it_is():
    require_sites(one_a_layer(2), sites(2))
    with pytest.raises(ConfigurationError, match="'encoder.2.query'.*Give the folder of the run"):
        require_sites(one_a_layer(3), sites(2))
