"""Regressions of any scale: standardised in training, in the user's units wherever the result is loaded."""

import csv
import json
import random
from statistics import fmean, pstdev

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

import peftsearch
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import read_config

BEST, WORST = 500_000.0, 100_000.0


@pytest.fixture
def flats(tmp_path):
    """Prices that are decided by the share of good words; three files."""

    def write(low=WORST, high=BEST) -> str:
        rng = random.Random(0)
        paths = []
        for name, size in (("train", 96), ("valid", 24), ("test", 24)):
            paths.append(tmp_path / f"{name}.csv")
            with paths[-1].open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["review", "stars"])
                for _ in range(size):
                    good = rng.randint(0, 4)
                    words = ["ok"] * good + ["no"] * (4 - good)
                    writer.writerow([" ".join(words), f"{low + (high - low) * good / 4:.9g}.0"])
        return ",".join(map(str, paths))

    return write


def trained(settings, flats, family: str, **changes):
    training = {"num_train_epochs": 4, "per_device_train_batch_size": 8, "learning_rate": 1e-2, "max_seq_length": 32}
    made = settings(family, data=flats, configuration="lora", method={}, budget="", training=training, **changes)
    return peftsearch.train(**made)


def predictions(model, run) -> tuple[torch.Tensor, list[float]]:
    experiment = Experiment.open(read_config(run / "config.yaml"))
    encoded = experiment.splits.test.encoded
    batch = experiment.task_format.collate([encoded[i] for i in range(len(encoded))])
    del batch["labels"]
    with torch.no_grad():
        found = model.eval()(**batch).logits[:, 0]
    return found, [float(example.target) for example in experiment.splits.test.examples]


def rmse(found, targets) -> float:
    return fmean((float(a) - b) ** 2 for a, b in zip(found, targets)) ** 0.5


@pytest.mark.parametrize("family", ["bert", "roberta", "llama", "gpt2"])
def test_prices_are_predicted_in_their_unit_by_plain_peft(settings, flats, family):
    result = trained(settings, flats(), family)
    base = AutoModelForSequenceClassification.from_pretrained(
        settings(family)["model"], num_labels=1, ignore_mismatched_sizes=True
    )
    # The head is drawn anew at each load; the adapter brings the trained one.
    found, targets = predictions(PeftModel.from_pretrained(base, str(result.folder / "adapter")), result.folder)
    assert rmse(found, targets) < 0.5 * pstdev(targets)
    assert result.metrics["test"]["all"]["rmse"] == pytest.approx(rmse(found, targets), rel=1e-3)
    assert result.metrics["test"]["all"]["mae"] == pytest.approx(
        fmean(abs(float(a) - b) for a, b in zip(found, targets)), rel=1e-3
    )


def test_the_loss_is_in_standardised_units_and_does_not_depend_on_the_scale(settings, flats, tmp_path):
    marks = trained(settings, flats(0.0, 4.0), "bert", output=tmp_path / "marks")
    prices = trained(settings, flats(), "bert", output=tmp_path / "prices")
    first, second = (json.loads((run.folder / "training/seed-0/trained.json").read_text()) for run in (marks, prices))
    assert first["validation_loss"] == pytest.approx(second["validation_loss"], rel=0.05)
    assert first["validation_loss"] < 0.5
    assert first["validation"]["rmse"] * 100_000 == pytest.approx(second["validation"]["rmse"], rel=0.05)
    # The head is probed in the same units: 1 is the loss of the mean.
    assert prices.metrics["head_probe"]["loss"] < 1.5


def test_a_whole_model_and_a_search_predict_in_the_unit_of_the_labels(settings, flats):
    made = settings("bert", data=flats(), configuration="full", method={}, budget="", verify=True)
    whole = peftsearch.train(**made, overwrite=True)
    found, targets = predictions(whole.model, whole.folder)
    assert whole.metrics["test"]["all"]["rmse"] == pytest.approx(rmse(found, targets), rel=1e-3)
    assert max(found) > 150_000
    searched = peftsearch.search(**settings("bert", data=flats(), inherit=True, baseline=False), overwrite=True)
    found, targets = predictions(searched.model, searched.folder)
    assert searched.metrics["test"]["all"]["rmse"] == pytest.approx(rmse(found, targets), rel=1e-3)
    assert min(found) > 10_000


def test_constant_predictions_are_said(settings, flats, capsys, caplog):
    training = {"num_train_epochs": 1, "learning_rate": 1e-9, "head_start": "fresh"}
    made = settings("bert", data=flats(), configuration="lora", method={}, budget="", training=training)
    result = peftsearch.train(**made)
    assert any("predictions of the test split are (nearly) constant" in note for note in result.metrics["notes"])
    peftsearch.evaluate(result.folder)
    assert "predictions of the test split are (nearly) constant" in caplog.text


def test_a_far_mean_is_refused_before_a_file_is_written(settings, flats, tmp_path):
    with pytest.raises(peftsearch.errors.DataError, match="has no bias"):
        trained(settings, flats(1_000_000.0, 1_000_100.0), "llama")
    assert not (tmp_path / "run").exists()
