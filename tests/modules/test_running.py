"""Heterogeneous adapters in the ways in which models are run."""

import copy

import pytest
import torch
from heterogeneous import IDS, adapted, load_base, logits, save_base
from peft import PeftModel

CASES = [("bert", "SEQ_CLS"), ("t5", "SEQ_2_SEQ_LM"), ("llama", "CAUSAL_LM")]
OPTIONS = {"attention_mask": torch.ones_like(IDS), "max_new_tokens": 6, "do_sample": False}


@pytest.fixture
def model(tmp_path):
    """family, task type, options of the base -> a model with every kind that fits."""

    def make(family: str, task_type: str, **options) -> PeftModel:
        return adapted(load_base(save_base(family, task_type, tmp_path / family), task_type, **options), task_type)

    return make


@pytest.mark.parametrize("family,task_type", [("t5", "SEQ_2_SEQ_LM"), ("llama", "CAUSAL_LM")])
def test_generating_with_a_cache_gives_the_same_tokens_as_without(family, task_type, model):
    found = model(family, task_type)
    cached = found.generate(input_ids=IDS, use_cache=True, **OPTIONS)
    assert torch.equal(cached, found.generate(input_ids=IDS, use_cache=False, **OPTIONS))
    changed = logits(found)
    with found.disable_adapter():
        assert not torch.equal(changed, logits(found))


@pytest.mark.parametrize("family,task_type", CASES)
def test_gradient_checkpointing_gives_the_same_gradients(family, task_type, model):
    plain = model(family, task_type)
    checkpointed = copy.deepcopy(plain)
    checkpointed.gradient_checkpointing_enable({"use_reentrant": False})
    found = []
    for each in (plain, checkpointed):
        each.train()
        torch.manual_seed(0)  # dropout draws the same, and checkpointing repeats its draws
        inputs = {"decoder_input_ids": IDS[:, :3]} if task_type == "SEQ_2_SEQ_LM" else {}
        each(input_ids=IDS, attention_mask=torch.ones_like(IDS), **inputs).logits.square().sum().backward()
        found.append({name: parameter.grad for name, parameter in each.named_parameters() if parameter.requires_grad})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 10
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("family,task_type", CASES)
def test_a_bfloat16_base_trains_adapters_in_float32(family, task_type, model):
    full, half = model(family, task_type), model(family, task_type, dtype=torch.bfloat16)
    dtypes = {name: parameter.dtype for name, parameter in half.named_parameters()}
    assert {dtype for name, dtype in dtypes.items() if "peftsearch_" in name} == {torch.float32}
    assert torch.bfloat16 in {dtype for name, dtype in dtypes.items() if "base_layer" in name}
    found = logits(half)
    assert found.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits, over a few layers.
    torch.testing.assert_close(found.float(), logits(full), atol=0.05 * logits(full).abs().max().item(), rtol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("family,task_type", CASES)
def test_compiling_gives_one_graph_with_the_same_output(family, task_type, model):
    found = model(family, task_type)
    plain = logits(found)
    compiled = torch.compile(found, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(logits(compiled), plain, atol=1e-5, rtol=1e-4)


def test_a_copied_model_is_independent(model):
    found = model("llama", "CAUSAL_LM")
    before = logits(found)
    twin = copy.deepcopy(found)
    for name, parameter in twin.named_parameters():
        if "peftsearch_" in name:
            parameter.data.zero_()
    assert (logits(twin) - before).abs().max() > 1e-3
    torch.testing.assert_close(logits(found), before)
