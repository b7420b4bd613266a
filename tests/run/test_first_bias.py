"""Heads that start at the shares of the labels."""

import json
import math

import pytest
import torch

from peftsearch.models.head import find_output_layer
from peftsearch.run.experiment import Experiment
from peftsearch.run.first_bias import start_at_shares
from peftsearch.run.make_config import make_config


def experiment(settings, tmp_path, **changes) -> Experiment:
    rows = [{"tokens": ["in", "Oslo", "now"], "tags": ["O", "B-city", "O"]}] * 4
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ",".join(str(tmp_path / f"{name}.jsonl") for name in ("train", "valid", "test"))
    return Experiment.open(make_config(settings(data=files, text=None, label=None, **changes)))


def test_trainings_on_tags_start_near_guessing(settings, tmp_path):
    opened = experiment(settings, tmp_path, training={"head_start": "fresh"})
    layer = find_output_layer(opened.start_model(0).model)
    # 8 words of 12 are O; with one added to every count 9 of 14.
    assert layer.bias.tolist() == pytest.approx([math.log(9 / 14), math.log(5 / 14)])
    weights = find_output_layer(opened.load_model(0).model).weight
    assert torch.equal(layer.weight, weights), "only the bias is set"


def test_heads_over_whole_texts_are_as_they_were_drawn(settings):
    opened = Experiment.open(make_config(settings(training={"head_start": "fresh"})))
    fresh, started = opened.load_model(0).model.state_dict(), opened.start_model(0).model.state_dict()
    assert all(torch.equal(fresh[name], tensor) for name, tensor in started.items())


def test_a_head_without_a_bias_stays_as_it_is(settings, tmp_path):
    opened = experiment(settings, tmp_path)
    model = opened.load_model(0).model
    layer = find_output_layer(model)
    layer.register_parameter("bias", None)
    before = layer.weight.clone()
    start_at_shares(model, opened.task_format, opened.splits.train.encoded)
    assert layer.bias is None and torch.equal(layer.weight, before)
