"""Roles that are read from a model's structure: names, shapes and order of its modules, without a table."""

import re
from collections import Counter

import pytest
import torch
import transformers
from text_families import tiny_config
from torch import nn
from transformers import AutoConfig, PretrainedConfig

from peftsearch.errors import SiteError
from peftsearch.models.discover import find_sites
from peftsearch.models.family import FAMILIES
from peftsearch.models.structure import read_structure
from peftsearch.space import LINEAR_ROLES, Role
from peftsearch.testing.tiny_models import TINY


def on_meta(class_name: str, config: PretrainedConfig) -> nn.Module:
    with torch.device("meta"):
        return getattr(transformers, class_name)(config)


def tiny(class_name: str, model_type: str, **settings) -> nn.Module:
    config = tiny_config(model_type)
    config.update(settings)
    return on_meta(class_name, config)


def paths(model: nn.Module) -> dict[str, str]:
    """Name of a site -> name of its module below the block."""
    return {site.name: re.sub(r".*?\.\d+\.", "", site.path, count=1) for site in find_sites(model)}


@pytest.mark.parametrize("family", list(TINY))
def test_the_structure_tells_what_the_tables_say(family):
    # The tables were written by hand, before structure could be read so well.
    model = TINY[family]()
    read = {(place.stack, place.layer, place.role, place.path) for place in read_structure(model)}
    assert read == {(site.stack, site.layer, site.role, site.path) for site in find_sites(model)}


def test_fused_and_gated_maps_have_a_role_each():
    found = paths(tiny("ModernBertForSequenceClassification", "modernbert"))
    # The first layer has no norm before its attention.
    assert {name: path for name, path in found.items() if name.startswith("encoder.1.")} == {
        "encoder.1.query_key_value": "attn.Wqkv",
        "encoder.1.attention_output": "attn.Wo",
        "encoder.1.ffn_in": "mlp.Wi",
        "encoder.1.ffn_out": "mlp.Wo",
        "encoder.1.attention_norm": "attn_norm",
        "encoder.1.ffn_norm": "mlp_norm",
    }
    assert "encoder.0.attention_norm" not in found
    phi = paths(tiny("Phi3ForSequenceClassification", "phi3"))
    assert phi["decoder.0.query_key_value"] == "self_attn.qkv_proj" and phi["decoder.0.ffn_in"] == "mlp.gate_up_proj"


def test_a_layer_that_is_shared_is_one_set_of_sites():
    config = tiny_config("albert")
    config.num_hidden_layers = 6
    sites = find_sites(on_meta("AlbertForSequenceClassification", config))
    assert Counter(site.role.is_norm for site in sites) == {False: 6, True: 3}
    assert {site.layer for site in sites} == {0}


def test_what_alternates_has_the_sites_of_its_own_sort():
    found = paths(tiny("JambaForSequenceClassification", "jamba", attn_layer_offset=0, attn_layer_period=2))
    # Layer 0 is attention with one feed-forward part, layer 1 a state space with experts.
    assert [name for name in found if name.startswith("decoder.1.")] == [
        "decoder.1.attention_norm",
        "decoder.1.ffn_norm",
        "decoder.1.mixer_in",
        "decoder.1.mixer_out",
    ]
    assert {"decoder.0.query", "decoder.0.ffn_in"} <= found.keys() and "decoder.0.mixer_in" not in found


def test_maps_whose_weights_a_kernel_takes_are_no_sites():
    # Mamba's kernel reads out_proj.weight, so that a module there would be passed by; Jamba calls the map.
    assert set(paths(tiny("MambaForCausalLM", "mamba"))) == {
        *(f"decoder.{layer}.{role}" for layer in range(2) for role in ("attention_norm", "mixer_in")),
        "decoder.final_norm",
    }


def test_latent_attention_has_its_narrow_maps():
    found = paths(tiny("DeepseekV3ForSequenceClassification", "deepseek_v3", first_k_dense_replace=1))
    attention = {name.removeprefix("decoder.1."): path for name, path in found.items() if "self_attn" in path}
    assert {role: path for role, path in attention.items() if "decoder" not in role} == {
        "query_down": "self_attn.q_a_proj",
        "query": "self_attn.q_b_proj",
        "key_value_down": "self_attn.kv_a_proj_with_mqa",
        "key_value": "self_attn.kv_b_proj",
        "attention_output": "self_attn.o_proj",
    }


def test_experts_that_are_routed_are_no_sites_but_the_shared_one_is():
    found = paths(tiny("Qwen2MoeForSequenceClassification", "qwen2_moe"))
    assert found["decoder.0.ffn_out"] == "mlp.shared_expert.down_proj"
    assert not [path for path in paths(tiny("MixtralForSequenceClassification", "mixtral")).values() if "mlp" in path]


def test_norms_after_their_parts_belong_to_these():
    found = paths(tiny("Olmo2ForSequenceClassification", "olmo2"))
    assert found["decoder.0.attention_norm"] == "post_attention_layernorm"
    assert found["decoder.0.ffn_norm"] == "post_feedforward_layernorm"


def test_lists_of_parts_beside_each_other_are_one_stack():
    found = paths(tiny("XLMForSequenceClassification", "xlm"))
    assert len(found) == 2 * 6 and {"encoder.1.query", "encoder.1.ffn_out"} <= found.keys()


def test_stages_of_several_widths_are_numbered_on():
    config = AutoConfig.for_model("swin", embed_dim=16, depths=[1, 2], num_heads=[2, 4])
    sites = find_sites(on_meta("SwinForImageClassification", config))
    widths = {site.layer: site.out_width for site in sites if site.role == Role.VALUE}
    assert widths == {0: 16, 1: 32, 2: 32}


def test_of_a_model_that_also_sees_the_text_part_has_the_sites():
    sites = find_sites(tiny("Gemma3ForSequenceClassification", "gemma3"))
    assert {site.stack for site in sites} == {"decoder"}
    assert not [site.path for site in sites if "vision" in site.path]


def test_of_a_model_that_compares_both_encoders_have_sites():
    sites = find_sites(on_meta("CLIPModel", tiny_config("clip")))
    assert Counter(site.stack for site in sites if site.role in LINEAR_ROLES) == {"encoder": 12, "vision": 12}


class Strange(nn.Module):
    """Blocks whose names tell nothing."""

    def __init__(self):
        super().__init__()
        self.config = PretrainedConfig()
        self.config.model_type = "strange"
        self.things = nn.ModuleList(nn.ModuleDict({"a": nn.Linear(4, 8), "b": nn.Linear(8, 4)}) for _ in range(2))


def test_names_that_tell_nothing_are_refused_with_the_lines_that_help(monkeypatch):
    with pytest.raises(SiteError) as caught:
        find_sites(Strange())
    assert "'strange'" in str(caught.value) and "things.0.a, things.0.b" in str(caught.value)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    code = "\n".join(lines).replace("encoder.layers", "things").replace("mlp.up", "a").replace("mlp.down", "b")
    code = re.sub(r"Role\.(QUERY|VALUE|ATTENTION_OUTPUT): [^,]+, ", "", code)
    monkeypatch.setattr(FAMILIES, "_entries", dict(FAMILIES._entries))
    exec(code, {})
    assert [site.name for site in find_sites(Strange())] == [
        f"encoder.{layer}.{role}" for layer in range(2) for role in ("ffn_in", "ffn_out")
    ]


def test_models_in_which_a_part_would_stay_untrained_are_refused():
    with pytest.raises(SiteError, match="'perceiver' cannot be searched: their task head is a part of the base model"):
        find_sites(tiny("PerceiverForSequenceClassification", "perceiver"))
    with pytest.raises(SiteError, match="'reformer' cannot be searched: their reversible layers"):
        find_sites(tiny("ReformerForSequenceClassification", "reformer"))
