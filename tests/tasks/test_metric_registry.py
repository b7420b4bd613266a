"""The registry of metrics: values against scikit-learn and by hand, which of two is better, and what fits what."""

import logging

import pytest
from sklearn.metrics import roc_auc_score

from peftsearch.errors import DataError, DivergedError, UnknownNameError
from peftsearch.tasks.load import load_task
from peftsearch.tasks.metric_choice import read_metrics
from peftsearch.tasks.metric_registry import METRICS, measure
from peftsearch.tasks.metrics import MetricInputs
from peftsearch.tasks.task import TaskRequest


def by_classes(names, probabilities, targets):
    return measure(names, MetricInputs.of_classes(probabilities, targets))


def of_second(*shares):
    """Probabilities of two classes, from those of the second."""
    return [[1 - share, share] for share in shares]


def test_roc_auc_is_the_share_of_pairs_in_the_right_order():
    # Positives 0.8, 0.4; negatives 0.5, 0.1: of four pairs only (0.4, 0.5) is in the wrong order.
    found = by_classes(["roc_auc", "accuracy"], of_second(0.8, 0.4, 0.5, 0.1), [1, 1, 0, 0])
    assert found["roc_auc"] == pytest.approx(75.0)


def test_roc_auc_of_three_classes_is_that_of_scikit_learn():
    rows = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1]]
    targets = [0, 1, 2, 1, 0]
    expected = 100 * roc_auc_score(targets, rows, multi_class="ovr", average="macro")
    assert by_classes(["roc_auc"], rows, targets)["roc_auc"] == pytest.approx(expected)


def test_roc_auc_of_examples_of_one_class_is_that_of_guessing():
    assert by_classes(["roc_auc"], of_second(0.9, 0.1), [1, 1]) == {"roc_auc": 50.0}


def test_balanced_accuracy_weighs_classes_alike():
    # Class 0: three of four found, class 1: none of one.
    assert by_classes(["balanced_accuracy"], of_second(0.1, 0.1, 0.1, 0.9, 0.2), [0, 0, 0, 0, 1]) == {
        "balanced_accuracy": pytest.approx(37.5)
    }


def test_errors_are_in_the_unit_of_the_labels():
    # Differences 300 and -400: root of (90000 + 160000) / 2, and 350. The labels' variance is 250000.
    found = measure(["rmse", "mae", "r2"], MetricInputs([1300.0, 1600.0], [1000.0, 2000.0]))
    assert found["rmse"] == pytest.approx(125_000**0.5) and found["mae"] == pytest.approx(350.0)
    assert found["r2"] == pytest.approx(100 * (1 - 250_000 / 500_000))


def test_of_errors_the_lower_is_better_and_of_all_others_the_higher():
    assert [name for name, metric in METRICS.items() if metric.lower_is_better] == [
        "rmse",
        "mae",
        "loss",
        "perplexity",
    ]
    rmse, accuracy = METRICS["rmse"], METRICS["accuracy"]
    assert rmse.is_better(2.0, than=3.0) and not rmse.is_better(3.0, than=3.0) and accuracy.is_better(3.0, than=2.0)
    assert (rmse.gain(2.0, over=3.5), accuracy.gain(2.0, over=3.5)) == (1.5, -1.5)
    assert rmse.merit(rmse.merit(2.5)) == 2.5 and (rmse.perfect, accuracy.perfect) == (0.0, 100.0)


@pytest.mark.parametrize(("value", "decimals"), [(0.031234, 5), (3.456, 3), (12345.6, 0), (0.0, 2)])
def test_errors_are_written_with_four_digits_that_count(value, decimals):
    assert METRICS["mae"].decimals(value) == decimals and METRICS["pearson"].decimals(value) == 2


def test_what_is_no_number_is_not_scored():
    with pytest.raises(DivergedError, match="predicts nan"):
        measure(["rmse"], MetricInputs([float("nan"), 1.0], [1.0, 1.0]))
    with pytest.raises(DivergedError, match="predicts nan"):
        by_classes(["accuracy"], of_second(float("nan"), 0.5), [1, 1])


# -- of the user's data


def table(tmp_path, labels, texts=None):
    path = tmp_path / "mine.csv"
    rows = [f"text {i},{label}" for i, label in enumerate(labels)]
    path.write_text("\n".join(["text,label", *(texts or rows)]) + "\n")
    return str(path)


def metrics_of(data, metric):
    task = load_task(TaskRequest(data=data, metric=metric))
    assert task.selection_metric == task.reported_metric
    return task.metrics


def test_the_first_metric_selects_and_all_are_reported(tmp_path):
    data = table(tmp_path, ["no", "yes"] * 30)
    assert metrics_of(data, "") == ("accuracy", "macro_f1")
    assert metrics_of(data, "matthews, roc_auc") == ("matthews_correlation", "roc_auc", "accuracy", "macro_f1")
    assert metrics_of(table(tmp_path, [0.5, 1.5, 2.5] * 20), "rmse") == ("rmse", "pearson", "spearman", "mae")


def test_the_positive_class_of_f1_is_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert metrics_of(table(tmp_path, ["no", "yes"] * 30), "f1")[0] == "f1"
    assert "f1 is that of the class 'yes'; the other class is 'no'" in caplog.text


@pytest.mark.parametrize(
    ("labels", "metric", "message"),
    [
        (["no", "yes"] * 30, "rmse", "'rmse' is one of numbers, but the labels of mine are classes.*decimal point"),
        ([0.5, 1.5] * 30, "accuracy", "'accuracy' is one of classes, but the labels of mine are numbers.*rmse, mae"),
        (["a", "b", "c"] * 20, "f1", "second of 2 classes, but mine has 3: 'a', 'b', 'c'. Take macro_f1"),
        (["a", "b"] * 30 + ["c"], "roc_auc", "the validation split of mine has none of 'c' in"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(labels, metric, message, tmp_path):
    with pytest.raises(DataError, match=message):
        metrics_of(table(tmp_path, labels), metric)


def test_a_metric_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="metric 'rmsee'. Did you mean 'rmse'"):
        read_metrics("rmsee")
    with pytest.raises(UnknownNameError, match="metric 'exact_match'"):
        read_metrics("exact_match")


def test_built_in_tasks_keep_their_metrics():
    with pytest.raises(DataError, match="'demo' has metrics of its own.*'macro_f1'. Leave --metric out"):
        load_task(TaskRequest(task="demo", metric="macro_f1"))
