"""Runs on the user's numbers and classes by a metric that the user chooses, where lower is better too."""

import json
import random

import pytest
from sklearn.metrics import f1_score

from peftsearch import evaluate, search, train
from peftsearch.report.comparison.text import as_text
from peftsearch.report.run.html import write_report

WORDS = ("bad", "poor", "fine", "good", "great")


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """Reviews with a number that one word decides."""
    rng, folder = random.Random(0), tmp_path_factory.mktemp("ratings")
    paths = []
    for name, size in (("train", 48), ("valid", 12), ("test", 12)):
        draws = [rng.randrange(5) for _ in range(size)]
        rows = [f"the film was {WORDS[draw]} {rng.choice(WORDS)},{draw / 2}" for draw in draws]
        path = folder / f"{name}.csv"
        path.write_text("\n".join(["review,stars", *rows]) + "\n")
        paths.append(str(path))
    return ",".join(paths)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_epoch_with_the_lowest_error_is_kept(ratings, settings):
    run = settings(data=ratings, metric="rmse", budget="", method="lora", verify=True)
    run["training"] |= {"num_train_epochs": 4, "learning_rate": 0.05}
    found = train(**run, configuration="lora")
    epochs = [row["validation_rmse"] for row in rows_of(found.folder / "training" / "seed-0" / "log.jsonl")
              if "validation_rmse" in row]  # fmt: skip
    kept = json.loads((found.folder / "training" / "seed-0" / "trained.json").read_text())["validation"]
    assert len(epochs) == 4 and len(set(epochs)) > 1
    assert kept["rmse"] == min(epochs)
    assert set(kept) == {"rmse", "pearson", "spearman", "mae"}
    assert found.metrics["metric"] == found.metrics["selection_metric"] == "rmse"
    assert evaluate(found.folder) == pytest.approx(found.metrics["test"]["all"])
    assert found.metrics["verified"]["validation"]["rmse"] == pytest.approx(kept["rmse"], rel=1e-5)


def test_a_search_takes_the_trial_with_the_lowest_error(ratings, settings):
    run = settings(data=ratings, metric="mae", method={"name": "random", "trials": 3}, budget="600", pareto=True)
    run["training"] |= {"num_train_epochs": 1}
    found = search(**run)
    trials = rows_of(found.folder / "search" / "trials.jsonl")
    # The record is of scores of which the larger is better.
    assert all(row["score"] < 0 for row in trials)
    best = min(trials, key=lambda row: -row["score"])
    chosen = {(choice.site, choice.kind, choice.rank) for choice in found.configuration}
    assert chosen == {tuple(choice) for choice in best["choices"]}
    front = found.metrics["pareto"]
    assert [row["search_score"] for row in front] == sorted(row["search_score"] for row in front)
    # The numbers shown have their sign back.
    page = write_report(found.folder).read_text()
    assert f"{-best['score']:.4f}" in page and ">MAE (lower is better)</th>" in page
    handed, other = found.metrics["handed_over"], found.metrics["baseline"]["validation"]["value"]
    assert handed["validation"]["value"] == min(found.metrics["validation"]["value"], other)


def test_classes_are_chosen_by_the_metric_asked_for(settings):
    run = settings(metric="f1,roc_auc", budget="", method="lora")
    found = train(**run, configuration="lora")
    assert found.metrics["metric"] == "f1"
    assert list(found.metrics["test"]["all"]) == ["f1", "roc_auc", "accuracy", "macro_f1"]


def test_a_comparison_by_an_error_puts_the_lowest_first_and_takes_no_other_task(ratings, reviews, settings, tmp_path):
    from peftsearch import compare
    from peftsearch.errors import DataError

    run = settings()
    numbers = {"name": "numbers", "data": ratings, "text": "review", "label": "stars", "metric": "rmse"}
    classes = {"name": "classes", "data": reviews, "text": "review", "label": "stars"}
    common = {"model": run["model"], "methods": "bitfit,head", "budget": "600", "seeds": 1, "verify": False}
    common |= {"training": run["training"] | {"num_train_epochs": 1}, "output": str(tmp_path / "compare")}
    with pytest.raises(
        DataError, match="averages the scores of its 2 tasks, but rmse of numbers is in a unit of its own"
    ):
        compare(**common, tasks=[numbers, classes])
    found = compare(**common, tasks=[numbers])
    averages = [row.average for row in found.rows]
    assert None not in averages and averages == sorted(averages) and "RMSE (lower is better)" in as_text(found)


def test_f1_is_that_of_the_second_class_of_the_sorted_names():
    # `down` and `up`, as in the reviews: scikit-learn's F1 of class 1, which is `up`.
    from peftsearch.tasks.metrics import f1

    predictions, targets = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]
    assert f1(predictions, targets) == pytest.approx(100 * f1_score(targets, predictions, pos_label=1))
