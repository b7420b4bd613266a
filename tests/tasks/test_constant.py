"""Constant predictions are said."""

from peftsearch.tasks.constant import describe_constant


def test_predictions_that_differ_in_a_digit_are_called_constant():
    said = describe_constant([4.6, 4.60001, 4.6], [100_000.0, 500_000.0, 300_000.0], what="test")
    assert "predictions of the test split are (nearly) constant: 4.6 to 4.60001" in said
    assert "targets are 100000 to 500000" in said


def test_predictions_that_vary_and_constant_targets_are_fine():
    assert not describe_constant([1.0, 2.0], [0.0, 3.0], what="test")
    assert not describe_constant([1.0, 1.0], [3.0, 3.0], what="test")
    assert not describe_constant([1.0], [3.0], what="test")
