"""Pursuit in a run: a stage that is stopped in its training goes on with what it had added."""

import pytest

from peftsearch import search
from peftsearch.methods.pursuit.method import Pursuit
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
