"""Trackers are checked before a run starts, and get the curves of the search."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from peftsearch import search
from peftsearch.errors import PeftSearchError
from peftsearch.settings import SettingError
from peftsearch.training.trackers import check_tracker


def reporting(settings, tracker: str) -> dict:
    return settings(baseline=False, training=settings()["training"] | {"report_to": tracker})


@pytest.mark.skipif(find_spec("trackio") is not None, reason="trackio is installed")
def test_a_tracker_that_is_not_installed_is_named_before_the_run(settings):
    with pytest.raises(PeftSearchError, match="--report_to trackio needs the package trackio"):
        search(**reporting(settings, "trackio"))
    assert not Path(settings()["output"]).exists()


def test_a_folder_of_logs_is_not_taken_for_the_package(tmp_path, monkeypatch):
    (tmp_path / "mlflow").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PeftSearchError, match="pip install mlflow"):
        check_tracker("mlflow")


def test_an_unknown_tracker_is_refused_with_the_known_ones(settings):
    with pytest.raises(SettingError, match="one of none, tensorboard, wandb, trackio, mlflow"):
        search(**reporting(settings, "tensorbord"))


def test_tensorboard_gets_the_curves_of_search_and_training(settings):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = search(**reporting(settings, "tensorboard")).folder
    found = {}
    for stage in ("search", "training/seed-0"):
        (events,) = (folder / stage / "runs").iterdir()
        accumulator = EventAccumulator(str(events))
        accumulator.Reload()
        found[stage] = set(accumulator.Tags()["scalars"])
    assert found["search"] >= {"train/loss_weights", "train/expected_parameters", "train/live_modules"}
    assert found["training/seed-0"] >= {"train/loss", "train/validation_accuracy"}
