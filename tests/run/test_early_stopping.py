"""Trainings that stop since validation does not improve, counted by hand from their own logs."""

import json
import random

import pytest

from peftsearch import train
from peftsearch.testing.stopping import stopped_often
from peftsearch.training.halving import close_round

EPOCHS, PATIENCE = 12, 2


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Texts whose labels say nothing, so that validation goes up and down."""
    rng, folder = random.Random(3), tmp_path_factory.mktemp("noise")
    paths = []
    for name, size in (("train", 40), ("valid", 20), ("test", 20)):
        rows = [f"{rng.choice('abcdef')} {rng.choice('ghijkl')} {i},{('down', 'up')[i % 2]}" for i in range(size)]
        path = folder / f"{name}.csv"
        path.write_text("\n".join(["review,stars", *rows]) + "\n")
        paths.append(str(path))
    return ",".join(paths)


@pytest.fixture
def run(noise, settings, tmp_path):
    def start(name="run", *, resume=False, data=noise, **training):
        given = settings(data=data, budget="", method="lora", configuration="lora", output=str(tmp_path / name))
        own = {"num_train_epochs": EPOCHS, "early_stopping": PATIENCE, "save_steps": 3, "head_start": "fresh"}
        return train(**given | {"resume": resume, "training": given["training"] | own | training})

    return start


def trained(result):
    return json.loads((result.folder / "training" / "seed-0" / "trained.json").read_text())


def scores_of(result):
    """The validation accuracy of each epoch, in order."""
    log = (result.folder / "training" / "seed-0" / "log.jsonl").read_text().splitlines()
    return [row["validation_accuracy"] for row in map(json.loads, log) if "validation_accuracy" in row]


def epochs_since_gain(scores):
    """Epochs since the last strict maximum."""
    return len(scores) - 1 - scores.index(max(scores))


def outcome(result):
    tensors = [path.read_bytes() for path in sorted((result.folder / "adapter").glob("*.safetensors"))]
    return trained(result)["validation"], trained(result)["stopped_early"], result.metrics["test"], tensors


def test_a_training_stops_after_so_many_epochs_without_a_gain_and_keeps_the_best(run):
    result = run()
    scores = scores_of(result)
    assert len(scores) < EPOCHS and epochs_since_gain(scores) == PATIENCE
    assert all(epochs_since_gain(scores[:end]) < PATIENCE for end in range(1, len(scores)))
    assert trained(result)["validation"]["accuracy"] == max(scores)
    assert trained(result)["stopped_early"] == {"epoch": len(scores), "epochs": EPOCHS, "patience": PATIENCE}
    note = f"without a better validation score for 2 epochs: training/seed-0 after {len(scores)} of {EPOCHS} epochs."
    assert any(note in text for text in result.metrics["notes"])


def test_without_it_a_training_goes_to_its_end(run):
    result = run(early_stopping=0)
    assert len(scores_of(result)) == EPOCHS and trained(result)["stopped_early"] is None
    assert not any("Stopped early" in text for text in result.metrics["notes"])


def test_a_training_that_is_interrupted_stops_at_the_same_epoch_with_the_same_weights(run, monkeypatch):
    first = run("first")
    second, num_stops = stopped_often(lambda resume: run("second", resume=resume), monkeypatch, every=4)
    assert num_stops >= 2 and outcome(first) == outcome(second)
    assert scores_of(first) == scores_of(second)


def test_a_training_is_not_stopped_before_its_start_is_checked(run):
    # A fifth of 20 epochs are 4, long after two epochs of equal scores at a rate that moves nothing.
    result = run(num_train_epochs=20, learning_rate=1e-9, early_stopping=1)
    assert trained(result)["stopped_early"]["epoch"] == 4


@pytest.mark.slow
def test_a_search_for_the_rate_comes_to_its_end_first_and_resumes_too(run, reviews, monkeypatch):
    monkeypatch.setattr("peftsearch.run.rate_choice.keeps_all", lambda *_: False)
    auto = {"data": reviews, "learning_rate": "auto", "early_stopping": 1, "num_train_epochs": 16}
    first = run("first", **auto)
    # 48 rows in batches of 8 are 6 steps an epoch; the last rate is chosen after a quarter of 96 steps or, since these
    # rates are close, after 44.
    further = close_round(96, 3)
    assert further is not None and further.step == 44
    rates = json.loads((first.folder / "training" / "rates.json").read_text())
    assert [end["step"] for end in rates["rounds"]] == [12, 24, 44]
    scores = scores_of(first)
    assert 44 / 6 <= len(scores) < 16 and epochs_since_gain(scores) >= 1
    second, num_stops = stopped_often(lambda resume: run("second", resume=resume, **auto), monkeypatch, every=31)
    assert num_stops >= 2 and outcome(first) == outcome(second)
