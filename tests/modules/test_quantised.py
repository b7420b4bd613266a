"""Adapters on bases with quantised weights: a stand-in always, bitsandbytes where it is installed."""

import warnings

import pytest
import torch
from heterogeneous import ROLES, adapted, load_base, logits
from torch import nn
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from peftsearch.errors import MergeError
from peftsearch.models.discover import find_sites
from peftsearch.modules.adapter_config import PeftSearchConfig
from peftsearch.modules.costs import cost_beside, needs_float_note
from peftsearch.modules.peft_module import KINDS
from peftsearch.modules.tuner import PeftSearchModel
from peftsearch.space import SPACES, Role, SearchSpace
from peftsearch.testing import TINY

CONFIGS = {
    4: lambda: BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32),
    8: lambda: BitsAndBytesConfig(load_in_8bit=True),
}


class EightBit(nn.Module):
    """A linear layer with whole numbers as weights, as libraries for quantisation write it: no nn.Linear."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = linear.weight.abs().max() / 127
        self.register_buffer("weight", (linear.weight / self.scale).round().to(torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.weight * self.scale).T


def test_modules_run_beside_whole_number_weights_and_refuse_to_be_merged_into_them():
    block = nn.Sequential(EightBit(nn.Linear(6, 4)), nn.Linear(4, 4))
    x = torch.randn(2, 3, 6)
    before = block(x)
    tuner = PeftSearchModel(block, PeftSearchConfig(sites={"0": {"lora": 2, "serial_adapter": 1}}), "default")
    torch.testing.assert_close(tuner(x), before)
    lora = block[0].peftsearch_lora["default"]
    nn.init.normal_(lora.B)
    torch.testing.assert_close(block[0](x), block[0].base_layer(x) + x @ lora.A.T @ lora.B.T)
    stored = block[0].base_layer.weight.clone()
    with pytest.raises(MergeError, match="0: the weight of the EightBit is quantised"):
        tuner.merge_adapter()
    assert torch.equal(block[0].base_layer.weight, stored)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].needs_float_weight and kind != "lnfit"])
def test_kinds_that_do_not_say_otherwise_run_beside_whole_number_weights(kind):
    layer, x = EightBit(nn.Linear(6, 6)), torch.randn(2, 3, 6)
    module = KINDS[kind].build(layer, 2, Role.VALUE)
    assert torch.equal(module(x, layer(x)), layer(x))


def test_a_kind_that_needs_float_weights_is_left_out_there_and_named(monkeypatch):
    monkeypatch.setattr(KINDS["ia3"], "needs_float_weight", True)
    sites = find_sites(TINY["bert"]())
    quantised = {site.path for site in sites if not site.role.is_norm and site.layer == 0}
    costs = SearchSpace.build(SPACES["all"], sites=sites, cost=cost_beside(quantised)).costs
    assert {choice.site for choice in costs if choice.kind == "ia3"} == {
        f"encoder.1.{role}" for role in ("key", "value", "ffn_out")
    }
    (note,) = needs_float_note(SPACES["all"], sites=sites, quantised=quantised)
    assert "ia3 at 3 sites" in note


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A Llama of width 64, the least that bitsandbytes quantises in blocks."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ROLES)
@pytest.mark.parametrize("bits", CONFIGS)
def test_every_kind_trains_saves_and_loads_on_a_bitsandbytes_base(bits, kind, base, tmp_path):
    pytest.importorskip("bitsandbytes")
    warnings.simplefilter("ignore")
    options = {"quantization_config": CONFIGS[bits](), "device_map": "cpu"}
    quantised = load_base(base, "CAUSAL_LM", **options)
    assert find_sites(quantised) == find_sites(load_base(base, "CAUSAL_LM"))
    before = logits(quantised)
    model = adapted(load_base(base, "CAUSAL_LM", **options), "CAUSAL_LM", (kind,))
    after = logits(model)
    assert (after - before).abs().max() > 1e-3
    model.save_pretrained(tmp_path)
    again = load_base(base, "CAUSAL_LM", **options)
    again.load_adapter(str(tmp_path))
    torch.testing.assert_close(logits(again.eval()), after, atol=1e-4, rtol=1e-3)
    model.train()(input_ids=torch.arange(8)[None]).logits.square().sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    # The softmax over one key has no gradient for it.
    assert all(g.abs().sum() > 0 for name, g in gradients.items() if not (name.endswith(".K") and len(g) == 1))
    if kind != "lnfit":  # norms are not quantised
        with pytest.raises(MergeError):
            model.merge_adapter()
