"""Python takes text for a list of its letters; nothing that wants names does."""

import pytest

from peftsearch import Configuration, SearchTrainer, attach, evaluate
from peftsearch.errors import ConfigurationError, UnknownNameError
from peftsearch.models.load import load_model
from peftsearch.space import Choice
from peftsearch.testing.tiny_models import TINY

ONE = Configuration.of([Choice("encoder.0.query", "lora", 2)])


@pytest.mark.parametrize("head", ["classifier", 3, [None], {"classifier": True}])
def test_a_head_is_a_list_of_names(head):
    with pytest.raises(ConfigurationError, match="'head' is .*, but must be a list of names"):
        attach(TINY["bert"](), ONE, head=head)
    with pytest.raises(ConfigurationError, match="'head' is .*, but must be a list of names"):
        SearchTrainer(model=TINY["bert"](), budget=600, head=head)


def test_a_head_that_the_model_lacks_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="'clasifier'. Did you mean 'classifier'"):
        attach(TINY["bert"](), ONE, head=["clasifier"])
    assert "classifier" in attach(TINY["bert"](), ONE, head=("classifier",)).peft_config["default"].modules_to_save


@pytest.mark.parametrize("configuration", ["configuration.json", [Choice("encoder.0.query", "lora", 2)], None])
def test_attach_takes_a_configuration(configuration):
    with pytest.raises(ConfigurationError, match=r"is a (str|list|NoneType)\. Give a Configuration"):
        attach(TINY["bert"](), configuration)


@pytest.mark.parametrize("choices", ["encoder.0.query", ["encoder.0.query"], Choice("encoder.0.query", "lora"), 3])
def test_a_configuration_is_made_of_choices(choices):
    for make in (Configuration, Configuration.of):
        with pytest.raises(ConfigurationError, match="is made of choices, but"):
            make(choices)


def test_adapters_to_merge_are_a_list_of_names():
    model = attach(TINY["bert"](), ONE)
    for act in (model.merge_and_unload, model.base_model.merge_adapter, model.base_model.unmergeable_sites):
        with pytest.raises(ConfigurationError, match=r"Write \['default'\]"):
            act(adapter_names="default")


def test_class_names_are_a_list():
    with pytest.raises(ConfigurationError, match="'labels' is 'ab'"):
        load_model("demo", num_labels=2, labels="ab")


def test_a_split_that_does_not_exist(tmp_path):
    with pytest.raises(UnknownNameError, match="split 'valid'. Did you mean 'validation'"):
        evaluate(tmp_path, split="valid")
