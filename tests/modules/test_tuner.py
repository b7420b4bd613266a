"""The tuner as peft sees it: files, errors, merging."""

import json

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.utils.peft_types import PeftType

from peftsearch.errors import ConfigurationError
from peftsearch.models.discover import find_sites
from peftsearch.modules.adapter_config import PeftSearchConfig
from peftsearch.modules.attach import attach, make_peft_config
from peftsearch.space import Choice, Configuration
from peftsearch.testing.tiny_models import TINY


@pytest.fixture
def sites_and_model():
    model = TINY["bert"]()
    return find_sites(model), model


def test_peft_knows_the_method_by_its_name():
    assert PeftType("PEFTSEARCH") == "PEFTSEARCH"


def test_equal_adapters_write_equal_files(sites_and_model, tmp_path):
    sites, model = sites_and_model
    configuration = Configuration.of([Choice("encoder.1.value", "lora", 2), Choice("encoder.0.key", "bitfit")])
    attach(model, configuration, sites=sites, head=("classifier",), task_type="SEQ_CLS").save_pretrained(tmp_path)
    document = json.loads((tmp_path / "adapter_config.json").read_text())
    assert document["sites"] == {
        "bert.encoder.layer.0.attention.self.key": {"bitfit": 1},
        "bert.encoder.layer.1.attention.self.value": {"lora": 2},
    }
    assert document["modules_to_save"] == ["classifier", "score"]
    assert PeftConfig.from_pretrained(tmp_path).sites == document["sites"]


def test_a_head_alone_is_an_adapter_too(sites_and_model, tmp_path):
    sites, model = sites_and_model
    adapted = attach(model, Configuration(), sites=sites, head=("classifier",), task_type="SEQ_CLS")
    trainable = {n.split(".")[-1] for n, p in adapted.named_parameters() if p.requires_grad}
    assert trainable == {"weight", "bias"}
    torch.nn.init.ones_(adapted.base_model.model.classifier.modules_to_save["default"].weight)
    adapted.save_pretrained(tmp_path)
    reloaded = PeftModel.from_pretrained(TINY["bert"](), tmp_path)
    assert (reloaded.base_model.model.classifier.modules_to_save["default"].weight == 1).all()


def test_merging_a_non_linear_module_is_refused_with_its_reason(sites_and_model):
    sites, model = sites_and_model
    adapted = attach(model, Configuration.of([Choice("encoder.0.ffn_out", "low_rank_adapter", 1)]), sites=sites)
    with pytest.raises(ConfigurationError, match="non-linear bottleneck"):
        adapted.merge_and_unload()


def test_merging_a_bias_into_a_layer_without_one_is_refused():
    model = TINY["llama"]()
    sites = find_sites(model)
    site = next(s for s in sites if s.role == "query")
    adapted = attach(model, Configuration.of([Choice(site.name, "bitfit")]), sites=sites)
    with pytest.raises(ConfigurationError, match="no bias"):
        adapted.merge_and_unload()


def test_unmerging_restores_the_base_exactly(sites_and_model):
    sites, model = sites_and_model
    path = next(s.path for s in sites if s.name == "encoder.0.query")
    before = model.get_submodule(path).weight.clone()
    adapted = attach(model, Configuration.of([Choice("encoder.0.query", "lora", 2)]), sites=sites)
    layer = adapted.base_model.model.get_submodule(path)
    torch.nn.init.normal_(layer.peftsearch_lora["default"].B)
    adapted.merge_adapter()
    assert (layer.base_layer.weight != before).any()
    adapted.unmerge_adapter()
    assert torch.equal(layer.base_layer.weight, before)


@pytest.mark.parametrize(
    "sites,message",
    [
        ({"a": {"lorra": 1}}, "Did you mean 'lora'"),
        ({"a": {"lora": 0}}, "Rank 0"),
        ({"a": {"lora": True}}, "Rank True"),
        ({"a": {}}, "'a' must map kinds"),
        ([1], "'sites' must map"),
    ],
)
def test_malformed_sites_are_refused(sites, message):
    with pytest.raises(Exception, match=message):
        PeftSearchConfig(sites=sites)


@pytest.mark.parametrize("indices", [[3], {"embed": 3}, {"embed": [-1]}, {"embed": [True]}, {1: [1]}])
def test_malformed_rows_of_tokens_are_refused(indices):
    with pytest.raises(ConfigurationError, match="'trainable_token_indices' must map names of layers to lists"):
        PeftSearchConfig(sites={"a": {"lora": 1}}, trainable_token_indices=indices)


def test_a_newer_schema_is_refused():
    with pytest.raises(ConfigurationError, match="Upgrade peftsearch"):
        PeftSearchConfig(sites={"a": {"lora": 1}}, schema_version=99)


def test_a_site_that_the_model_lacks_is_named(sites_and_model):
    sites, model = sites_and_model
    with pytest.raises(ConfigurationError, match=r"encoder\.9\.query"):
        attach(model, Configuration.of([Choice("encoder.9.query", "lora", 2)]), sites=sites)


def test_a_block_input_that_is_the_site_itself_is_refused():
    with pytest.raises(ConfigurationError, match="gives 'a' itself"):
        PeftSearchConfig(sites={"a": {"parallel_adapter": 1}}, inputs={"a": "a"})


def test_random_initial_weights_change_the_output(sites_and_model):
    sites, model = sites_and_model
    ids = torch.arange(5, 12)[None]
    before = model.eval()(ids).logits
    config = make_peft_config(Configuration.of([Choice("encoder.0.value", "lora", 2)]), sites=sites)
    config.init_weights = False
    assert (get_peft_model(model, config).eval()(ids).logits - before).abs().max() > 1e-6
