"""Loading, and what is said where it fails."""

import json

import pytest
import torch
import transformers

from peftsearch.errors import ModelError
from peftsearch.models.load import load_config, load_model, load_tokenizer
from peftsearch.testing.tiny_models import TINY, save_tiny, tiny_tokenizer


def test_the_seed_decides_on_the_head(tmp_path):
    TINY["bert"]().bert.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
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
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.pad_token == "</s>"
    assert loaded.model.config.pad_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("pad_token_id", [0, 7, None])
def test_a_row_has_the_same_logits_alone_and_padded_whatever_the_configuration_pads_with(pad_token_id, tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    _edit(folder / "tokenizer_config.json", pad_token=None)
    _edit(folder / "config.json", pad_token_id=pad_token_id)
    model, tokenizer = load_model(str(folder), num_labels=2).model.eval(), load_tokenizer(str(folder))
    texts = ["good", "a film that is longer than the other one"]
    with torch.no_grad():
        together = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    torch.testing.assert_close(together, alone)


def test_a_pad_token_that_was_changed_since_is_seen(tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    assert load_model(str(folder), num_labels=2).model.config.pad_token_id == load_tokenizer(str(folder)).pad_token_id
    _edit(folder / "tokenizer_config.json", pad_token=None)
    tokenizer = load_tokenizer(str(folder))
    assert load_model(str(folder), num_labels=2).model.config.pad_token_id == tokenizer.eos_token_id


def test_the_classes_of_an_earlier_task_are_forgotten(tmp_path):
    folder = save_tiny("bert", tmp_path)
    _edit(folder / "config.json", id2label={"0": "NEGATIVE", "1": "POSITIVE"}, label2id={"NEGATIVE": 0, "POSITIVE": 1})
    named = load_model(str(folder), num_labels=2, labels=("ham", "spam")).model.config
    assert named.id2label == {0: "ham", 1: "spam"} and named.label2id == {"ham": 0, "spam": 1}
    unnamed = load_model(str(folder), num_labels=2).model.config
    assert unnamed.id2label == {0: "LABEL_0", 1: "LABEL_1"}


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    _edit(folder / "tokenizer_config.json", pad_token=None, eos_token=None)
    with pytest.raises(ModelError, match="neither a pad token"):
        load_tokenizer(str(folder))


def _edit(path, **changes) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | changes))


def test_the_new_head_is_not_reported_as_missing_and_the_level_of_messages_stays(tiny_folder, capfd):
    before = transformers.logging.get_verbosity()
    load_model(str(tiny_folder("bert")), num_labels=3)
    assert "MISSING" not in "".join(capfd.readouterr()) and transformers.logging.get_verbosity() == before
