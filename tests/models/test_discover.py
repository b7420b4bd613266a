"""Sites of every family, by the counts that their architectures imply."""

from collections import Counter

import pytest
import torch
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Gemma2Config,
    MPNetConfig,
    OPTConfig,
    PhiConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from peftsearch.errors import SiteError
from peftsearch.models.discover import find_sites
from peftsearch.models.head import count_outside, find_head
from peftsearch.models.load import load_model
from peftsearch.modules.costs import cost_at, num_parameters
from peftsearch.space import CROSS_ROLES, LINEAR_ROLES, SPACES, Choice, Role, SearchSpace
from peftsearch.testing.tiny_models import CONFIGS, TINY

# family -> (linear maps, cross-attention linear maps, norms)
COUNTS = {
    "bert": (12, 0, 5),
    "roberta": (12, 0, 5),
    "electra": (12, 0, 5),
    "deberta-v2": (12, 0, 5),
    "mpnet": (12, 0, 5),
    "distilbert": (12, 0, 5),
    "t5": (24, 8, 4 + 6 + 2),
    "t5-gated": (28, 8, 4 + 6 + 2),
    "llama": (14, 0, 5),
    "mistral": (14, 0, 5),
    "qwen2": (14, 0, 5),
    "qwen3": (14, 0, 5),
    "gpt2": (8, 0, 5),
    "gpt-neox": (8, 0, 5),
    "bart": (24, 8, 4 + 6 + 2),
}


@pytest.mark.parametrize("family", list(TINY))
def test_every_linear_map_and_norm_of_a_block_is_a_site(family):
    sites = find_sites(TINY[family]())
    roles = Counter("norm" if s.role.is_norm else "cross" if s.role in CROSS_ROLES else "linear" for s in sites)
    assert (roles["linear"], roles["cross"], roles["norm"]) == COUNTS[family]
    assert len({s.name for s in sites}) == len({s.path for s in sites}) == len(sites)


@pytest.mark.parametrize("family", list(TINY))
def test_paths_name_modules_of_the_widths_given(family):
    model = TINY[family]()
    for site in find_sites(model):
        weight = model.get_submodule(site.path).weight
        widths = {site.in_width, site.out_width}
        assert set(weight.shape) == widths


@pytest.mark.parametrize("family", list(TINY))
def test_meta_tensors_and_bare_base_models_have_the_same_sites(family):
    names = [s.name for s in find_sites(TINY[family]())]
    with torch.device("meta"):
        model = AutoModel.from_config(CONFIGS[family]())
    assert [s.name for s in find_sites(model)] == names


@pytest.mark.parametrize("family", list(TINY))
def test_the_last_map_of_the_ffn_knows_the_first_and_values_know_the_keys(family):
    sites = find_sites(TINY[family]())
    first = {(s.stack, s.layer): s.path for s in sites if s.role == Role.FFN_IN}
    inputs = {(s.stack, s.layer): s.input_path for s in sites if s.input_path}
    assert inputs == first
    assert {s.role for s in sites if s.input_path} == {Role.FFN_OUT}
    keys = 16 if family in ("llama", "mistral", "qwen2", "qwen3") else 0 if family in ("deberta-v2", "mpnet") else 32
    hosts = [s for s in sites if s.role in (Role.VALUE, Role.QUERY_KEY_VALUE)]
    assert {s.prefix_width for s in hosts} == {keys}
    assert not any(s.prefix_width for s in sites if s not in hosts)


def test_minilm_has_the_sites_of_six_layers():
    loaded = load_model("demo", num_labels=2)
    sites = find_sites(loaded.model)
    assert loaded.backbone_parameters == 22_713_216
    assert Counter(s.role.is_norm for s in sites) == {False: 36, True: 13}
    lora = sum(num_parameters("lora", s, 8) for s in sites if not s.role.is_norm)
    assert lora == 331_776  # LoRA of rank 8 on all linear layers


def t5_large() -> T5ForConditionalGeneration:
    config = T5Config(
        vocab_size=32128, d_model=1024, d_ff=4096, d_kv=64, num_heads=16, num_layers=24, num_decoder_layers=24
    )
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
    model.tie_weights()
    return model


@pytest.fixture(scope="module")
def large():
    model = t5_large()
    return model, find_sites(model)


def test_t5_large_has_the_published_number_of_parameters(large):
    assert count_outside(large[0], find_head(large[0])) == 737_668_096


def test_the_sizes_of_s2_on_t5_large_are_the_published_ones(large):
    space = SearchSpace.build(SPACES["s2"], sites=large[1], cost=cost_at)
    assert space.largest.num_modules_by_kind() == {"bitfit": 410, "lnfit": 122, "lora": 288, "low_rank_adapter": 96}
    assert len(space.ranks) == 916
    sizes = {}
    for rank in (1, 4, 8):
        sizes[rank] = space.cost(Choice(p.site, p.kind, rank if len(r) > 1 else 1) for p, r in space.ranks.items())
    assert sizes == {1: 1_881_088, 4: 5_143_552, 8: 9_493_504}


def test_the_other_spaces_on_t5_large(large):
    sizes = {n: SearchSpace.build(SPACES[n], sites=large[1], cost=cost_at) for n in SPACES}
    assert sizes["s3delta_l"].cost(sizes["s3delta_l"].largest) == 884_736
    assert sizes["s3delta_m"].cost(sizes["s3delta_m"].largest) == 1_881_088


def test_the_adapters_of_s1_on_t5_large_have_the_published_sizes(large):
    space = SearchSpace.build(SPACES["s1"], sites=large[1], cost=cost_at)
    assert space.largest.num_modules_by_kind() == {"parallel_adapter": 48, "prefix": 48, "serial_adapter": 48}
    sizes = {
        rank: space.cost(Choice(p.site, p.kind, rank) for p in space.ranks if p.kind != "prefix") for rank in (1, 4, 8)
    }
    assert sizes == {1: 295_008, 4: 885_120, 8: 1_671_936}
    assert space.cost(c for c in space.largest if c.kind == "prefix") == 48 * 2 * 8 * 1024


def test_manual_configurations_on_t5_large(large):
    sites = large[1]
    lora = sum(num_parameters("lora", s, 8) for s in sites if s.role in (Role.QUERY, Role.VALUE))
    lnfit = sum(num_parameters("lnfit", s, 1) for s in sites if s.role.is_norm)
    assert (lora, lnfit) == (1_572_864, 124_928)


@pytest.mark.parametrize(
    "config,stack,num_linear",
    [
        (
            OPTConfig(hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=99),
            "decoder",
            6,
        ),
        (MPNetConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64), "encoder", 6),
        (PhiConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64), "decoder", 6),
        (Gemma2Config(hidden_size=32, num_hidden_layers=2, intermediate_size=64, head_dim=8), "decoder", 7),
    ],
    ids=["opt", "mpnet", "phi", "gemma2"],
)
def test_architectures_without_a_table_are_read_from_their_structure(config, stack, num_linear):
    loader = AutoModelForSequenceClassification if stack == "encoder" else AutoModelForCausalLM
    with torch.device("meta"):
        model = loader.from_config(config)
    sites = find_sites(model)
    linear = [s for s in sites if s.role in LINEAR_ROLES]
    assert len(linear) == 2 * num_linear and {s.stack for s in sites} == {stack}


def test_a_model_without_blocks_says_what_was_looked_for():
    with pytest.raises(SiteError, match=r"(?s)list of alike blocks.*register_family"):
        find_sites(nn.Sequential(nn.Linear(4, 4)))


def test_a_role_that_is_missing_in_some_layers_is_an_error():
    model = TINY["bert"]()
    del model.bert.encoder.layer[1].output.LayerNorm
    with pytest.raises(SiteError, match=r"'ffn_norm' of the encoder.*missing in layers \[1\] \(found in \[0\]\)"):
        find_sites(model)
