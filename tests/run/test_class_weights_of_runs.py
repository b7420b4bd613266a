"""Runs with class weights: told, refused where there are no classes, and in every loss that is compared."""

import json
import random

import pytest
import torch
from torch.nn.functional import cross_entropy

from peftsearch import load, train
from peftsearch.cli.main import main
from peftsearch.errors import DataError
from peftsearch.run.dry_run import describe_search, describe_train
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config


@pytest.fixture(scope="module")
def rare(tmp_path_factory):
    """Reviews of which a quarter of the training rows, and half of the others, have the second class."""
    rng, folder = random.Random(0), tmp_path_factory.mktemp("rare")
    paths = []
    for name, size, every in (("train", 48, 4), ("valid", 12, 2), ("test", 12, 2)):
        rows = [f"the {rng.choice('abcdefgh')} film was {i} {('bad', 'good')[i % every == 0]}" for i in range(size)]
        path = folder / f"{name}.csv"
        path.write_text(
            "\n".join(["review,stars", *(f"{row},{('down', 'up')['good' in row]}" for row in rows)]) + "\n"
        )
        paths.append(str(path))
    return ",".join(paths)


def test_validation_is_judged_by_the_weighted_loss_and_so_is_the_training(rare, settings):
    run = settings(data=rare, budget="", method="lora")
    run["training"] |= {"class_weights": "balanced", "head_start": "probe"}
    found = train(**run, configuration="lora")
    record = json.loads((found.folder / "training" / "seed-0" / "trained.json").read_text())
    experiment = Experiment.open(make_config({**run, "configuration": "lora"}))
    # 48 rows, 36 and 12 of the two classes.
    assert experiment.task_format.class_weights == pytest.approx((48 / 72, 48 / 24))
    split, model = experiment.splits.validation, load(found.folder)
    batch = experiment.task_format.collate([split.encoded[i] for i in range(len(split.encoded))])
    with torch.no_grad():
        logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    weights = torch.tensor([48 / 72, 48 / 24])
    expected = cross_entropy(logits, batch["labels"], weight=weights, reduction="none").mean()
    assert record["validation_loss"] == pytest.approx(float(expected), rel=1e-4)


def test_the_weights_are_told_before_a_run(rare, settings):
    run = settings(data=rare)
    run["training"] |= {"class_weights": "balanced"}
    assert "weights   down 0.6667, up 2" in describe_search(make_config(run))


@pytest.mark.parametrize(("family", "task"), [("t5", {}), ("bert", {"label": "numbers"})])
def test_what_has_no_classes_to_weigh_is_refused_before_the_run(family, task, settings, tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("\n".join(["review,numbers", *(f"word {i},{i / 3}" for i in range(40))]) + "\n")
    run = settings(
        family, configuration="lora", method="lora", budget="", **({"data": str(path)} | task if task else {})
    )
    run["training"] |= {"class_weights": "balanced"}
    with pytest.raises(DataError, match=r"training.class_weights is 'balanced', but"):
        describe_train(make_config(run))


def test_the_flag_needs_no_prefix(rare, tiny_folder, capsys):
    flags = f"train --model {tiny_folder('bert')} --data {rare} --text review --label stars --configuration lora"
    assert main([*flags.split(), "--class_weights", "balanced", "--early_stopping", "2", "--dry_run"]) == 0
    assert "weights   down 0.6667, up 2" in capsys.readouterr().out
