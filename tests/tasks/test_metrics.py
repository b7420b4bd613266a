"""Metrics against values computed by hand."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks import metrics
from peftsearch.tasks.metric_registry import measure


def test_accuracy_is_the_share_of_right_predictions():
    assert metrics.accuracy([1, 0, 1, 1], [1, 1, 1, 0]) == 50.0


def test_f1_follows_precision_and_recall():
    # Class 1: 2 true positives, 1 false positive, 1 false negative.
    assert metrics.f1([1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == pytest.approx(100 * 2 / 3)


def test_f1_counts_an_invalid_prediction_as_the_wrong_class():
    # The invalid one counts as 1 where 0 is right: 1 true positive, 1 false positive.
    assert metrics.f1([1, -1], [1, 0]) == pytest.approx(100 * 2 * 0.5 / 1.5)


def test_macro_f1_averages_over_all_three_classes():
    # F1: class 0 2/3 (one true positive, one false positive), class 1 0 (missed), class 2 1.
    assert metrics.macro_f1([0, 0, 2], [0, 1, 2]) == pytest.approx(100 * (2 / 3 + 0 + 1) / 3)


def test_macro_f1_leaves_an_absent_class_out():
    # 0 is found in 2 of 3 rows that are 0 or called so, 1 in one of 2; class 2 does not occur.
    assert metrics.macro_f1([0, 0, 1, 0], [0, 1, 1, 0]) == pytest.approx(100 * (4 / 5 + 2 / 3) / 2)
    # An invalid prediction is no class.
    assert metrics.macro_f1([0, -1], [0, 1]) == pytest.approx(100 * (1 + 0) / 2)
    # A class that is predicted alone, and one that is never found, are wrong.
    assert metrics.macro_f1([0, 2], [0, 1]) == pytest.approx(100 / 3)


def test_matthews_correlation_follows_its_formula():
    # tp 2, tn 1, fp 1, fn 0: (2*1 - 1*0) / sqrt(3 * 2 * 2 * 1).
    assert metrics.matthews_correlation([1, 1, 1, 0], [1, 1, 0, 0]) == pytest.approx(100 * 2 / 12**0.5)


def test_correlations_of_a_line_and_of_a_monotone_curve():
    assert metrics.pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx(100.0)
    assert metrics.spearman([1.0, 2.0, 3.0], [1.0, 8.0, 27.0]) == pytest.approx(100.0)
    # Deviations (-1, 0, 1) and (-1, 1, 0): 1 / sqrt(2 * 2).
    assert metrics.pearson([1.0, 2.0, 3.0], [1.0, 3.0, 2.0]) == pytest.approx(50.0)


def test_correlations_of_constant_predictions_are_zero():
    assert metrics.pearson([2.0, 2.0], [1.0, 3.0]) == 0.0
    assert metrics.spearman([2.0, 2.0], [1.0, 3.0]) == 0.0


def test_group_exact_match_needs_every_member_right():
    assert metrics.group_exact_match([1, 0, 1], [1, 0, 0], ["a", "a", "b"]) == 50.0


def test_answers_are_compared_without_case_articles_and_punctuation():
    assert metrics.normalise_answer("The  U.S. president, an Elder") == "us president elder"
    assert metrics.exact_match(["the Eagles!", "Rome"], [("Bears", "eagles"), ("Paris",)]) == 50.0


def test_token_f1_takes_the_best_gold_answer():
    # "barack obama" against "obama": precision 1/2, recall 1.
    assert metrics.token_f1(["Barack Obama"], [("Bush", "Obama")]) == pytest.approx(100 * 2 * 0.5 / 1.5)
    assert metrics.token_f1(["", "x"], [("the",), ("y",)]) == 50.0


def test_every_metric_refuses_predictions_that_miss_rows():
    with pytest.raises(DataError, match="1 predictions for 2 targets"):
        measure(["accuracy"], metrics.MetricInputs([1], [1, 0]))
