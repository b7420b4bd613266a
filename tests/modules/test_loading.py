"""Every way in which peft and transformers load an adapter."""

import json

import pytest
import torch
from heterogeneous import AUTO_CLASSES, adapted, load_base, logits, save_base
from peft import (
    AutoPeftModelForCausalLM,
    AutoPeftModelForSeq2SeqLM,
    AutoPeftModelForSequenceClassification,
    PeftConfig,
    PeftModel,
)

from peftsearch.errors import ConfigurationError, ModelError
from peftsearch.testing.tiny_models import CONFIGS, build

CASES = [("bert", "SEQ_CLS"), ("t5", "SEQ_2_SEQ_LM"), ("llama", "CAUSAL_LM")]
AUTO_PEFT = {
    "SEQ_CLS": AutoPeftModelForSequenceClassification,
    "SEQ_2_SEQ_LM": AutoPeftModelForSeq2SeqLM,
    "CAUSAL_LM": AutoPeftModelForCausalLM,
}
TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}  # another kernel where another class allocated the weights


@pytest.fixture
def saved(tmp_path):
    """family, task type -> folders of a base model and of its adapter, and the logits of both together and alone."""

    def save(family: str, task_type: str):
        base = save_base(family, task_type, tmp_path / "base")
        before = logits(load_base(base, task_type))
        model = adapted(load_base(base, task_type), task_type)
        model.save_pretrained(tmp_path / "adapter")
        return base, tmp_path / "adapter", logits(model), before

    return save


@pytest.mark.parametrize("family,task_type", CASES)
def test_auto_peft_models_find_the_base_by_themselves(family, task_type, saved):
    _, adapter, after, before = saved(family, task_type)
    model = AUTO_PEFT[task_type].from_pretrained(adapter).eval()
    torch.testing.assert_close(logits(model), after, **TOLERANCE)
    assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize("family,task_type", CASES)
def test_transformers_loads_an_adapter_folder_as_a_model(family, task_type, saved):
    _, adapter, after, before = saved(family, task_type)
    model = AUTO_CLASSES[task_type].from_pretrained(adapter).eval()
    torch.testing.assert_close(logits(model), after, **TOLERANCE)


@pytest.mark.parametrize("family,task_type", CASES)
def test_transformers_loads_switches_saves_and_deletes_an_adapter(family, task_type, saved, tmp_path):
    base, adapter, after, before = saved(family, task_type)
    model = load_base(base, task_type)
    model.load_adapter(str(adapter), adapter_name="found")
    assert model.active_adapters() == ["found"]
    torch.testing.assert_close(logits(model), after, **TOLERANCE)
    model.disable_adapters()
    torch.testing.assert_close(logits(model), before, **TOLERANCE)
    model.enable_adapters()
    torch.testing.assert_close(logits(model), after, **TOLERANCE)
    model.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(logits(AUTO_PEFT[task_type].from_pretrained(tmp_path / "again").eval()), after)
    model.delete_adapter("found")
    assert not [name for name, _ in model.named_parameters() if ".found" in name]


def test_low_memory_loading_gives_the_same_model(saved):
    base, adapter, after, _ = saved("llama", "CAUSAL_LM")
    model = PeftModel.from_pretrained(load_base(base, "CAUSAL_LM"), adapter, low_cpu_mem_usage=True)
    assert not any(parameter.is_meta for parameter in model.parameters())
    torch.testing.assert_close(logits(model.eval()), after, **TOLERANCE)


def test_an_adapter_of_a_deeper_model_is_refused_before_the_model_changes(saved):
    _, adapter, _, _ = saved("llama", "CAUSAL_LM")
    config = CONFIGS["llama"]()
    config.num_hidden_layers = 1
    other = AUTO_CLASSES["CAUSAL_LM"].from_config(config)
    with pytest.raises(ConfigurationError, match=r"sites are not in this LlamaForCausalLM.*layers\.1.*/base"):
        PeftModel.from_pretrained(other, adapter)
    assert not [name for name, _ in other.named_modules() if "peftsearch" in name]


def test_an_adapter_of_a_wider_model_is_refused_with_both_shapes(saved):
    _, adapter, _, _ = saved("llama", "CAUSAL_LM")
    config = CONFIGS["llama"]()
    config.hidden_size = 64
    with pytest.raises(ModelError, match=r"for another model.*which is \(32,\) and must be \(64,\) here"):
        PeftModel.from_pretrained(AUTO_CLASSES["CAUSAL_LM"].from_config(config), adapter)


def test_an_adapter_of_a_newer_schema_is_refused_with_what_to_do(saved):
    base, adapter, _, _ = saved("llama", "CAUSAL_LM")
    document = json.loads((adapter / "adapter_config.json").read_text())
    document |= {"schema_version": 2, "sites": [{"what a newer release": "may write"}], "unknown": 1}
    (adapter / "adapter_config.json").write_text(json.dumps(document))
    with (
        pytest.raises(ConfigurationError, match="reads versions 1 to 1. Upgrade peftsearch"),
        pytest.warns(UserWarning, match="Unexpected keyword arguments"),
    ):
        PeftModel.from_pretrained(load_base(base, "CAUSAL_LM"), adapter)


def test_the_configuration_file_names_every_site(saved):
    _, adapter, _, _ = saved("llama", "CAUSAL_LM")
    config = PeftConfig.from_pretrained(adapter)
    assert config.sites["model.layers.1.mlp.down_proj"] == {"low_rank_adapter": 2, "parallel_adapter": 2}
    assert config.inputs["model.layers.1.mlp.down_proj"] == "model.layers.1.mlp.up_proj"


def test_peft_says_what_is_attached():
    model = adapted(build(CONFIGS["bert"]()), "SEQ_CLS")
    status = model.get_model_status()
    own = [p for name, p in model.named_parameters() if "peftsearch_" in name or "modules_to_save" in name]
    assert status.peft_types == {"default": "PEFTSEARCH"}
    assert (status.enabled, status.active_adapters, status.merged_adapters) == (True, ["default"], [])
    assert status.trainable_params == sum(parameter.numel() for parameter in own)
    layers = {layer.name: layer for layer in model.get_layer_status()}
    query = layers["model.bert.encoder.layer.0.attention.self.query"]
    assert (query.module_type, query.enabled, query.requires_grad) == (
        "peftsearch.AdaptedLayer",
        True,
        {"default": True},
    )
