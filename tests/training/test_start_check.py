"""Guessing by the labels' frequencies, against values by hand, and what follows from a loss that is no better."""

import math
from types import SimpleNamespace

import pytest

from peftsearch.task_head import TOKENS, TaskHead
from peftsearch.training.start_check import (
    DidNotStart,
    StartCheck,
    beats_guessing,
    check_step,
    guess_losses,
    next_rate,
)


def put(head, class_weights=()):
    """What guessing reads of a task format."""
    return SimpleNamespace(head=head, class_weights=class_weights)


CLASSES = put(TaskHead.of_labels(2, "single_label_classification"))


def test_classes_are_guessed_by_their_frequency():
    # Shares with one added to each count: 4/6 and 2/6.
    assert guess_losses(CLASSES, [0, 0, 0, 1], [0, 1]) == pytest.approx([-math.log(4 / 6), -math.log(2 / 6)])


def test_a_class_that_training_lacks_has_a_finite_loss():
    three = put(TaskHead.of_labels(3, "single_label_classification"))
    assert guess_losses(three, [0, 1], [2]) == pytest.approx([-math.log(1 / 5)])


def test_with_balanced_weights_guessing_is_uniform():
    weighted = put(TaskHead.of_labels(2, "single_label_classification"), class_weights=(0.625, 2.5))
    # Eight of class 0 and two of class 1 weigh 5 each, and one more for both: half each.
    expected = [0.625 * math.log(2), 2.5 * math.log(2)]
    assert guess_losses(weighted, [0] * 8 + [1] * 2, [0, 1]) == pytest.approx(expected)


def test_numbers_are_guessed_by_their_mean():
    numbers = put(TaskHead.of_labels(1, "regression"))
    assert guess_losses(numbers, [1.0, 3.0], [2.0, 5.0]) == pytest.approx([0, 9])


def test_texts_cannot_be_guessed():
    assert guess_losses(put(TaskHead.of_labels(None)), [[1]], [[1]]) is None


def test_tags_are_guessed_by_their_frequency_among_words():
    # Of the words 3 have tag 0 and 1 has tag 1; with one added shares of 4/6 and 2/6. Other tokens do not count.
    tags = put(TaskHead(TOKENS, 2))
    train, validation = [[-100, 0, -100, 0], [0, 1, -100]], [[-100, 0, 1], [1, -100]]
    expected = [-(math.log(4 / 6) + math.log(2 / 6)) / 2, -math.log(2 / 6)]
    assert guess_losses(tags, train, validation) == pytest.approx(expected)


def test_a_loss_above_guessing_lowers_the_rate_and_one_that_stands_still_raises_it():
    assert next_rate([1e-2, 3e-2], loss=2.0, guess=0.7) == pytest.approx(1e-2 / 3)
    assert next_rate([1e-3, 3e-3], loss=0.7, guess=0.7) == pytest.approx(9e-3)
    assert next_rate([1e-2], loss=math.nan, guess=0.7) == pytest.approx(1e-2 / 3)


@pytest.mark.parametrize(("loss", "starts"), [(0.69, True), (0.7, False), (math.nan, False)])
def test_a_training_is_checked_once_after_a_fifth_of_its_steps(loss, starts):
    check, args = StartCheck(0.7, lambda: [loss - 0.1, loss + 0.1]), SimpleNamespace(learning_rate=1e-3)
    assert check_step(96) == 20
    check.on_step_end(args, SimpleNamespace(global_step=19, max_steps=96), None)
    check.on_step_end(args, SimpleNamespace(global_step=21, max_steps=96), None)
    if starts:
        check.on_step_end(args, SimpleNamespace(global_step=20, max_steps=96), None)
    else:
        with pytest.raises(DidNotStart, match="step 20: a validation loss of"):
            check.on_step_end(args, SimpleNamespace(global_step=20, max_steps=96), None)


def test_guessing_is_beaten_by_more_than_two_standard_errors():
    # Gains 0.1 and 0.3: mean 0.2, standard error 0.1. Gains 0 and 0.4: standard error 0.2.
    assert not beats_guessing([0.6, 0.4], [0.7, 0.7]) and not beats_guessing([0.7, 0.3], [0.7, 0.7])
    assert beats_guessing([0.51, 0.4], [0.7, 0.7])
    assert not beats_guessing([0.8, 0.9], [0.7, 0.7])
