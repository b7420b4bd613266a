"""Pursuit in a run: a stage that is stopped goes on with what it had added, and each seed starts with its own head."""

from pathlib import Path

import pytest
import torch

from peftsearch import search
from peftsearch.methods.pursuit.method import Pursuit
from peftsearch.run.experiment import Experiment
from peftsearch.run.growth_search import search_by_growth
from peftsearch.run.make_config import make_config
from peftsearch.run.recipe import found_modules
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import INHERITED
from peftsearch.run.supernets import head_of
from peftsearch.training.trainer import TaskTrainer

GIVEN = {"method": {"name": "pursuit", "stages": 2, "between": 4}, "budget": "1200", "baseline": False}
TRAINING = {"learning_rate": 1e-2, "num_train_epochs": 1, "per_device_train_batch_size": 8}


class Killed(BaseException):
    pass


def test_what_was_added_is_not_measured_again(settings, monkeypatch, tmp_path):
    first = search(**settings(**GIVEN, training=TRAINING, output=str(tmp_path / "first")))
    grow, grown = Pursuit.grow, []
    step = TaskTrainer.training_step

    def counted(self, *args, **kwargs):
        grown.append(1)
        return grow(self, *args, **kwargs)

    def stopped(self, *args, **kwargs):
        if len(grown) == 1 and self.state.global_step == 2:
            raise Killed
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Pursuit, "grow", counted)
    monkeypatch.setattr(TaskTrainer, "training_step", stopped)
    again = settings(**GIVEN, training=TRAINING, output=str(tmp_path / "second"))
    with pytest.raises(Killed):
        search(**again)
    monkeypatch.setattr(TaskTrainer, "training_step", step)
    second = search(**again | {"resume": True})
    assert len(grown) == 2  # one a stage
    assert second.configuration == first.configuration
    assert second.metrics["validation"] == first.metrics["validation"]


def test_each_seed_starts_with_its_own_head_and_the_directions_that_were_found(settings):
    config = make_config(settings(**GIVEN, training=TRAINING))
    experiment, folder = Experiment.open(config), Path(config.output_folder)
    found = search_by_growth(experiment, SearchRequest(config.method_name, config.method), folder)
    recipe = found_modules(
        found.configuration, folder / INHERITED, inherits_head=False, name="train", method="pursuit"
    )
    models = [recipe.attach(experiment, seed, steps=1).model for seed in (0, 1)]
    heads = [head_of(model) for model in models]
    for seed, head in enumerate(heads):
        own = head_of(experiment.attach(experiment.start_model(seed), found.configuration))
        assert head.keys() == own.keys() and all(torch.equal(head[name], own[name]) for name in own)
    assert not all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    rows = [{n: p for n, p in model.named_parameters() if ".A" in n} for model in models]
    assert rows[0] and all(torch.equal(rows[0][name], rows[1][name]) for name in rows[0])
