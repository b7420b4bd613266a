"""What is loaded, what is its head, and what is said when it can't be."""

import json

import pytest
from tiny_models import TINY, save_tiny

from peftsearch.errors import ModelError
from peftsearch.models.load import count_backbone_parameters, empty_model, load_config, load_model, load_tokenizer

TEXT_TO_TEXT = {"t5", "t5-gated", "bart"}


@pytest.mark.parametrize("family", list(TINY))
def test_every_family_loads_from_a_folder_and_its_sizes_are_known_without_weights(family, tmp_path):
    folder = str(save_tiny(family, tmp_path))
    loaded = load_model(folder, num_labels=None if family in TEXT_TO_TEXT else 3)
    in_head = sum(p.numel() for name in loaded.head for p in loaded.model.get_submodule(name).parameters())
    assert loaded.backbone_parameters + in_head == sum(p.numel() for p in loaded.model.parameters())
    assert loaded.backbone_parameters == count_backbone_parameters(empty_model(folder))


@pytest.mark.parametrize(
    "family,head",
    [
        ("bert", ("classifier",)),
        ("distilbert", ("classifier", "pre_classifier")),
        ("deberta-v2", ("classifier", "pooler")),
        ("llama", ("score",)),
        ("t5", ()),
    ],
)
def test_the_head_is_what_stands_outside_of_the_backbone(family, head, tmp_path):
    folder = str(save_tiny(family, tmp_path))
    assert load_model(folder, num_labels=None if family == "t5" else 2).head == head


def test_a_pooler_without_weights_in_the_checkpoint_is_trained_with_the_head(tmp_path):
    TINY["bert"]().bert.__class__(TINY["bert"]().config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert load_model(str(tmp_path), num_labels=2).head == ("classifier", "bert.pooler")


def test_the_seed_decides_on_the_head(tmp_path):
    TINY["bert"]().bert.save_pretrained(tmp_path)
    first, second, other = (load_model(str(tmp_path), num_labels=2, seed=s).model.classifier.weight for s in (1, 1, 2))
    assert (first == second).all() and (first != other).any()


def test_a_model_that_is_not_there_is_named_with_what_can_be_given():
    with pytest.raises(ModelError, match="'no/such-model'.*'demo', a folder"):
        load_config("no/such-model")


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path):
    TINY["bert"]().config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not safe")
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(tmp_path), num_labels=2)


@pytest.mark.parametrize("family,num_labels", [("t5", 2), ("bert", None)])
def test_a_head_on_an_encoder_decoder_or_text_to_text_on_an_encoder_is_refused(family, num_labels, tmp_path):
    with pytest.raises(ModelError, match="encoder-decoders take text-to-text"):
        load_model(str(save_tiny(family, tmp_path)), num_labels=num_labels)


def test_a_model_without_a_pad_token_pads_with_its_end_token(tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    _edit(folder / "tokenizer_config.json", pad_token=None)
    _edit(folder / "config.json", pad_token_id=None)
    loaded = load_model(str(folder), num_labels=2)
    tokenizer = load_tokenizer(str(folder), config=load_config(str(folder)))
    assert tokenizer.pad_token == "</s>"
    assert loaded.model.config.pad_token_id == tokenizer.eos_token_id


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    _edit(folder / "tokenizer_config.json", pad_token=None, eos_token=None)
    with pytest.raises(ModelError, match="neither a pad token"):
        load_tokenizer(str(folder), config=load_config(str(folder)))


def _edit(path, **changes) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))
