"""Adapters of different structures on one model, switched, merged and deleted as peft does it."""

import pytest
import torch
from heterogeneous import IDS, MERGEABLE, adapted, disturb, heterogeneous, load_base, logits, save_base
from peft import LoraConfig, PeftModel

from peftsearch.errors import ConfigurationError, MergeError
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import make_peft_config

CASES = [("bert", "SEQ_CLS"), ("t5", "SEQ_2_SEQ_LM"), ("llama", "CAUSAL_LM")]
OTHER_KINDS = ("lora", "serial_adapter")
TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}  # different kernels for merged and unmerged weights


@pytest.fixture
def two(tmp_path):
    """family, task type -> a model with the adapters "default" and "other", and its base."""

    def make(family: str, task_type: str, kinds=MERGEABLE):
        base = load_base(save_base(family, task_type, tmp_path / "base"), task_type)
        sites, before = find_sites(base), logits(base)
        model = adapted(base, task_type, kinds)
        model.add_adapter("other", make_peft_config(heterogeneous(sites, OTHER_KINDS), sites=sites))
        disturb(model, ".other.", seed=1)
        return model.eval(), before

    return make


def said(model: PeftModel, adapter: str) -> torch.Tensor:
    model.set_adapter(adapter)
    return logits(model)


@pytest.mark.parametrize("family,task_type", CASES)
def test_switching_gives_each_adapter_its_own_output_and_gradients(family, task_type, two):
    model, before = two(family, task_type)
    first, second = said(model, "default"), said(model, "other")
    assert (first - second).abs().max() > 1e-3
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trainable and all(".other" in name for name in trainable)
    with model.disable_adapter():
        torch.testing.assert_close(logits(model), before, **TOLERANCE)
    torch.testing.assert_close(said(model, "default"), first)


@pytest.mark.parametrize("family,task_type", CASES)
def test_each_adapter_is_saved_in_its_own_folder_and_loads_alone(family, task_type, two, tmp_path):
    model, _ = two(family, task_type)
    first, second = said(model, "default"), said(model, "other")
    model.save_pretrained(tmp_path / "both")
    alone = PeftModel.from_pretrained(load_base(tmp_path / "base", task_type), tmp_path / "both" / "other").eval()
    torch.testing.assert_close(logits(alone), second, **TOLERANCE)
    alone.load_adapter(tmp_path / "both", adapter_name="first")
    torch.testing.assert_close(said(alone, "first"), first, **TOLERANCE)


def test_a_deleted_adapter_leaves_the_other_as_it_was(two):
    model, _ = two("bert", "SEQ_CLS")
    second = said(model, "other")
    model.delete_adapter("default")
    assert not [name for name, _ in model.named_parameters() if ".default" in name]
    assert list(model.peft_config) == ["other"]
    torch.testing.assert_close(logits(model), second)


def test_one_adapter_is_merged_and_taken_out_again_where_the_other_cannot_be(two):
    model, _ = two("llama", "CAUSAL_LM")
    first = said(model, "default")
    model.merge_adapter()
    assert model.get_model_status().merged_adapters == ["default"]
    torch.testing.assert_close(logits(model), first, **TOLERANCE)
    model.unmerge_adapter()
    torch.testing.assert_close(logits(model), first)
    model.set_adapter("other")
    with pytest.raises(MergeError, match=r"at 2 site\(s\): model\.layers\.0\.self_attn\.o_proj: a non-linear"):
        model.merge_adapter()
    assert model.get_model_status().merged_adapters == []
    merged = model.merge_and_unload(adapter_names=["default"])
    torch.testing.assert_close(logits(merged), first, **TOLERANCE)
    assert not [name for name, _ in merged.named_modules() if "peftsearch" in name]


def test_a_merged_model_is_a_plain_checkpoint(two, tmp_path):
    model, _ = two("llama", "CAUSAL_LM")
    first = said(model, "default")
    model.merge_and_unload(adapter_names=["default"]).save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(load_base(tmp_path / "merged", "CAUSAL_LM")), first, **TOLERANCE)


def test_a_safe_merge_of_broken_weights_is_the_error_that_callers_of_peft_expect(two):
    model, _ = two("llama", "CAUSAL_LM")
    name, parameter = next((n, p) for n, p in model.named_parameters() if ".peftsearch_lora.default" in n)
    parameter.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="NaNs detected"):
        model.merge_adapter(safe_merge=True)


def test_one_batch_for_several_adapters_is_refused(two):
    model, _ = two("llama", "CAUSAL_LM")
    with pytest.raises(ConfigurationError, match="set_adapter"):
        model(input_ids=IDS, adapter_names=["default", "other"])


def test_another_peft_method_on_the_same_model_is_refused_by_peft(two):
    model, _ = two("llama", "CAUSAL_LM")
    with pytest.raises(ValueError, match="Cannot combine adapters with different peft types"):
        model.add_adapter("lora", LoraConfig(target_modules=["q_proj"]))
