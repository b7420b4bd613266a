"""Scores and thresholds of several labels, worked out by hand."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.label_set_scores import (
    choose_threshold,
    give_labels,
    macro_f1,
    mean_average_precision,
    micro_f1,
)

TARGETS = [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
PREDICTIONS = [[1, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_micro_f1_counts_all_labels_together():
    # 2 right, 1 too many, 1 missing: 2 * 2 / (2 * 2 + 1 + 1).
    assert micro_f1(PREDICTIONS, TARGETS) == pytest.approx(100 * 4 / 6)
    assert micro_f1([[0, 0]], [[0, 0]]) == 100


def test_macro_f1_is_the_mean_over_labels_and_an_absent_one_is_right():
    # The first label is right everywhere, the second nowhere, the third neither there nor given.
    assert macro_f1(PREDICTIONS, TARGETS) == pytest.approx(100 * (1 + 0 + 1) / 3)


def test_mean_average_precision_reads_the_order_and_leaves_absent_labels_out():
    probabilities = [[0.9, 0.8, 0.1], [0.2, 0.7, 0.9], [0.5, 0.6, 0.5]]
    # First label: ranks 1 and 3 are right, (1 + 2/3) / 2. Second: rank 2 of 3 is right, 1/2. The third is nowhere.
    assert mean_average_precision(probabilities, TARGETS) == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert mean_average_precision([[0.5]], [[0]]) == 0


def test_the_threshold_has_the_best_micro_f1_and_stands_in_a_gap():
    probabilities = [[0.9, 0.2], [0.4, 0.3], [0.1, 0.05]]
    targets = [[1, 0], [1, 1], [0, 0]]
    # With 3 given, 0.9, 0.4 and 0.3, nothing is wrong; the next one is 0.2.
    threshold = choose_threshold(probabilities, targets)
    assert threshold == pytest.approx(0.25)
    assert give_labels(probabilities, threshold) == targets


def test_of_equal_thresholds_the_nearest_to_a_half_is_taken():
    # Right are 0.9 and 0.2. Given 1: F1 2/3; given 2 (0.9, 0.6): 1/2; given 3 (0.5 too): 2/5; given 4: 2/3 again.
    found = choose_threshold([[0.9, 0.6], [0.5, 0.2]], [[1, 0], [0, 1]])
    assert found == pytest.approx((0.9 + 0.6) / 2)


def test_without_a_label_anywhere_the_threshold_is_a_half():
    assert choose_threshold([[0.9, 0.1]], [[0, 0]]) == 0.5


def test_rows_that_are_missing_are_refused():
    with pytest.raises(DataError, match="1 rows of probabilities for 2 examples"):
        choose_threshold([[0.5]], [[1], [0]])


def test_a_threshold_of_many_rows_is_chosen_at_once():
    """A hundred thousand probabilities, those above 0.7 right; it would take minutes in quadratic time."""
    shares = [i / 100_001 for i in range(1, 100_001)]
    assert choose_threshold([[share] for share in shares], [[int(share > 0.7)] for share in shares]) == pytest.approx(
        0.7, abs=1e-4
    )
