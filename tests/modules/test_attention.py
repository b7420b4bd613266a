"""Prefixes on real (tiny) models, against attention written out here."""

import copy

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM

from peftsearch.errors import ConfigurationError
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach, make_peft_config
from peftsearch.modules.attention import choose_attention
from peftsearch.modules.costs import cost_at
from peftsearch.modules.kinds.prefix import Prefix
from peftsearch.modules.peft_module import Mask
from peftsearch.space import SPACES, Choice, Configuration, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.testing.tiny_models import CONFIGS, TINY

# The others compute their attention themselves.
FAMILIES = [name for name in TINY if name not in ("deberta-v2", "mpnet")]
IDS = torch.arange(5, 19).view(2, 7)


def logits(model) -> torch.Tensor:
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = IDS[:, :3]
    with torch.no_grad():
        return model.eval()(**inputs).logits


def prefixed(model: nn.Module, rank: int = 3) -> tuple[PeftModel, Configuration]:
    sites = find_sites(model)
    configuration = Configuration.of(Choice(s.name, "prefix", rank) for s in sites if Prefix.fits(s))
    adapted = attach(model, configuration, sites=sites)
    for prefix in (m for m in adapted.modules() if isinstance(m, Prefix)):
        nn.init.normal_(prefix.V)
    return adapted, configuration


def implementations(model: nn.Module) -> set[str]:
    return {m.config._attn_implementation for m in model.modules() if hasattr(m, "config")}


def test_a_prefix_is_an_attention_of_its_own():
    prefix = Prefix(nn.Linear(8, 16), 5)
    nn.init.normal_(prefix.V)
    query = torch.randn(2, 4, 3, 8)  # 4 query heads share 2 heads of keys
    found = prefix.attend(query, num_key_heads=2, scaling=0.3)
    for head in range(4):
        part = slice(8 * (head // 2), 8 * (head // 2) + 8)
        weights = torch.softmax(0.3 * query[:, head] @ prefix.K[:, part].T, dim=-1)
        torch.testing.assert_close(found[:, :, head], weights @ prefix.V[:, part])


def test_a_masked_prefix_is_a_shorter_one_and_the_gate_scales_it():
    large = Prefix(nn.Linear(8, 16), 8)
    nn.init.normal_(large.V)
    small = Prefix(nn.Linear(8, 16), 3)
    small.inherit(large)
    query = torch.randn(2, 2, 3, 8)
    masked = large.attend(query, num_key_heads=2, scaling=None, mask=Mask(rank=torch.tensor([1.0] * 3 + [0.0] * 5)))
    plain = small.attend(query, num_key_heads=2, scaling=None)
    torch.testing.assert_close(masked, plain)
    half = small.attend(query, num_key_heads=2, scaling=None, mask=Mask(gate=torch.tensor(0.5)))
    torch.testing.assert_close(half, plain / 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_eager_and_sdpa_agree_with_prefixes(family):
    model = TINY[family]()
    state = copy.deepcopy(model.state_dict())
    found = {}
    for implementation in ("sdpa", "eager"):
        twin = TINY[family]()
        twin.load_state_dict(state)
        twin.set_attn_implementation(implementation)
        torch.manual_seed(0)
        adapted, _ = prefixed(twin)
        assert implementations(twin) == {"peftsearch_" + implementation}
        found[implementation] = logits(adapted)
    torch.testing.assert_close(found["sdpa"], found["eager"], atol=1e-5, rtol=1e-4)
    assert (found["sdpa"] - logits(model)).abs().max() > 1e-6


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt-neox", "t5", "bart"])
def test_generating_with_a_cache_gives_the_same_tokens_as_without(family):
    torch.manual_seed(0)
    config = CONFIGS[family]()
    model = TINY[family]() if config.is_encoder_decoder else AutoModelForCausalLM.from_config(config)
    adapted, _ = prefixed(model.eval())
    options = {"attention_mask": torch.ones_like(IDS), "max_new_tokens": 6, "do_sample": False}
    cached = adapted.generate(input_ids=IDS, use_cache=True, **options)
    assert torch.equal(cached, adapted.generate(input_ids=IDS, use_cache=False, **options))


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_the_models_own_attention_comes_back_when_the_last_prefix_goes(family):
    model = TINY[family]()
    before = logits(model)
    adapted, configuration = prefixed(model)
    choose_attention(model)
    assert implementations(model) == {"peftsearch_sdpa"}
    adapted.add_adapter("other", make_peft_config(configuration, sites=find_sites(TINY[family]())))
    adapted.delete_adapter("default")
    assert implementations(model) == {"peftsearch_sdpa"}
    adapted.delete_adapter("other")
    assert implementations(model) == {"sdpa"}
    unloaded = prefixed(TINY[family]())[0].unload()
    assert implementations(unloaded) == {"sdpa"}
    torch.testing.assert_close(logits(model), before)


def test_prefixes_follow_when_the_attention_is_changed_after_attaching():
    model = TINY["llama"]()
    adapted, _ = prefixed(model)
    before = logits(adapted)
    adapted.set_attn_implementation("eager")
    torch.testing.assert_close(logits(adapted), before, atol=1e-5, rtol=1e-4)
    assert implementations(model) == {"peftsearch_eager"}
    adapted.set_attn_implementation("flex_attention")
    with pytest.raises(ConfigurationError, match="'flex_attention'"):
        logits(adapted)


def test_a_supernet_that_loses_its_prefixes_has_its_own_attention_back():
    model = TINY["bert"]()
    sites = find_sites(model)
    space = SearchSpace.build(SPACES["s1"], sites=sites, cost=cost_at)
    supernet = Supernet(attach(model, space.largest, sites=sites), sites=sites, space=space)
    supernet.remove([placement for placement in space.ranks if placement.kind == "prefix"])
    assert implementations(model) == {"sdpa"}


def test_a_gate_turns_prefixes_off_on_a_model():
    model = TINY["bert"]()
    before, sites = logits(model), find_sites(model)
    space = SearchSpace.build(SPACES["s1"], sites=sites, cost=cost_at).restricted_to(
        Configuration.of(Choice(s.name, "prefix", 8) for s in sites if Prefix.fits(s))
    )
    adapted, _ = prefixed(model, rank=8)
    supernet = Supernet(adapted, sites=sites, space=space)
    for off in (None, Mask(gate=torch.tensor(0.0))):
        with supernet.gated(dict.fromkeys(space.ranks, off)):
            torch.testing.assert_close(logits(adapted), before)
    assert (logits(adapted) - before).abs().max() > 1e-6


def test_an_attention_that_cannot_carry_prefixes_is_refused():
    model = TINY["bert"]()
    model.config._attn_implementation_internal = "flex_attention"
    with pytest.raises(ConfigurationError, match="'flex_attention'.*sdpa"):
        prefixed(model)


@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
def test_gradient_checkpointing_gives_the_same_gradients(family):
    gradients = []
    for checkpoints in (False, True):
        torch.manual_seed(0)
        adapted, _ = prefixed(TINY[family]())
        if checkpoints:
            adapted.gradient_checkpointing_enable({"use_reentrant": False})
        for module in adapted.train().modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        inputs = {"decoder_input_ids": IDS[:, :3]} if family == "t5" else {}
        adapted.config.attention_probs_dropout_prob = 0.0
        adapted(input_ids=IDS, attention_mask=torch.ones_like(IDS), **inputs).logits.square().sum().backward()
        gradients.append({n: p.grad for n, p in adapted.named_parameters() if p.grad is not None})
    assert len(gradients[0]) == 2 * sum(isinstance(m, Prefix) for m in adapted.modules())
    if family == "llama":  # the other two drop attention weights at random
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3)


def test_a_saved_prefix_works_where_the_base_is_loaded_anew(tmp_path):
    model = TINY["t5"]()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapted, _ = prefixed(model)
    after = logits(adapted)
    adapted.save_pretrained(tmp_path)
    base = TINY["t5"]()
    base.load_state_dict(state)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(base, tmp_path)), after)
    with pytest.raises(ConfigurationError, match="no place in a layer's weight"):
        adapted.merge_and_unload()
