"""A checkpoint that was fine-tuned for another task brings its head along."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from peftsearch.models.head import find_head
from peftsearch.models.load import load_model, load_task_model
from peftsearch.task_head import TaskHead
from peftsearch.testing.tiny_models import TINY, save_tiny, tiny_tokenizer

CLASSES = ("bad", "good")


def saved(family, folder, *, classes=CLASSES, backbone_alone=False):
    """A tiny model whose head was trained for classes: its weights are far from any that are drawn."""
    save_tiny(family, folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    for name in find_head(model):
        for parameter in model.get_submodule(name).parameters():
            parameter.data.fill_(7.0)
    model.config.id2label = dict(enumerate(classes))
    model.config.label2id = {name: i for i, name in enumerate(classes)}
    (model.base_model if backbone_alone else model).save_pretrained(folder)
    return str(folder)


def head_of(model) -> torch.Tensor:
    parts = [p.detach().flatten() for name in find_head(model) for p in model.get_submodule(name).parameters()]
    return torch.cat(parts)


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "electra", "deberta-v2", "mpnet", "distilbert", "gpt2", "llama"]
)
def test_every_part_of_a_head_is_drawn_anew_for_other_classes_and_kept_for_the_same(family, tmp_path):
    folder = saved(family, tmp_path / "whole")
    assert (head_of(load_model(folder, num_labels=2, labels=CLASSES).model) == 7).all()
    other = head_of(load_model(folder, num_labels=2, labels=("ham", "spam"), seed=1).model)
    assert (other != 7).all()
    assert torch.equal(other, head_of(load_model(folder, num_labels=2, labels=("ham", "spam"), seed=1).model))
    assert not torch.equal(other, head_of(load_model(folder, num_labels=2, labels=("ham", "spam"), seed=2).model))


@pytest.mark.parametrize(
    "labels", [("good", "bad"), (), ("a", "b", "c")], ids=["in another order", "without names", "of another number"]
)
def test_classes_are_the_same_only_by_names_and_order(labels, tmp_path):
    folder = saved("roberta", tmp_path / "roberta")
    assert (head_of(load_model(folder, num_labels=len(labels) or 2, labels=labels).model) != 7).all()


def test_a_head_that_is_drawn_is_about_as_large_as_that_of_a_plain_checkpoint(tmp_path):
    anew, fresh = (
        head_of(load_model(saved("roberta", tmp_path / str(plain), backbone_alone=plain), num_labels=2).model)
        for plain in (False, True)
    )
    assert anew.std().item() == pytest.approx(fresh.std().item(), rel=0.2)
    assert anew.abs().max() < 0.2


def test_the_rest_of_the_model_keeps_its_weights(tmp_path):
    folder = saved("bert", tmp_path / "bert")
    model = load_model(folder, num_labels=2, labels=("ham", "spam")).model
    kept = AutoModelForSequenceClassification.from_pretrained(folder)
    for (name, own), (_, there) in zip(model.bert.named_parameters(), kept.bert.named_parameters(), strict=True):
        assert torch.equal(own, there), name


def test_a_part_that_was_pretrained_without_the_rest_of_the_head_stays(tmp_path):
    # As ModernBERT's: its head's first layer comes from language modelling, its last from no one.
    TINY["roberta"]().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    from safetensors.torch import load_file, save_file

    tensors = {k: t for k, t in load_file(tmp_path / "model.safetensors").items() if "out_proj" not in k}
    tensors["classifier.dense.bias"].fill_(7.0)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    head = load_model(str(tmp_path), num_labels=2, labels=("ham", "spam")).model.classifier
    assert (head.dense.bias == 7).all() and (head.out_proj.weight != 7).all()


def test_weights_of_a_whole_fine_tuned_model_keep_their_head(tmp_path):
    folder = saved("bert", tmp_path / "bert")
    model = load_task_model(folder, TaskHead("SEQ_CLS", 2, labels=("ham", "spam")), weights=tmp_path / "bert").model
    assert (head_of(model) == 7).all() and json.loads((tmp_path / "bert" / "config.json").read_text())
