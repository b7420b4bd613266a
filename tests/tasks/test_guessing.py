"""Guessing by the labels' frequencies, against values by hand."""

import math

import pytest

from peftsearch.tasks.classification import ClassificationFormat
from peftsearch.tasks.task import Goal, Task
from peftsearch.tasks.text_to_text import TextToTextFormat
from peftsearch.tasks.word_tags import WordTagFormat


def classes(count: int, weights=()) -> ClassificationFormat:
    return ClassificationFormat(task(Goal.CLASSIFICATION, count), None, 8, weights)


def task(goal: Goal, num_labels: int = 0) -> Task:
    return Task("task", goal, tuple(map(str, range(num_labels))), "accuracy", "accuracy", {"train": ()}, "", 8)


def test_classes_are_guessed_by_their_frequency():
    # Shares with one added to each count: 4/6 and 2/6.
    found = classes(2).guess_losses([0, 0, 0, 1], [0, 1])
    assert found == pytest.approx([-math.log(4 / 6), -math.log(2 / 6)])


def test_a_class_that_training_lacks_has_a_finite_loss():
    assert classes(3).guess_losses([0, 1], [2]) == pytest.approx([-math.log(1 / 5)])


def test_with_balanced_weights_guessing_is_uniform():
    # Eight of class 0 and two of class 1 weigh 5 each, and one more for both: half each.
    found = classes(2, (0.625, 2.5)).guess_losses([0] * 8 + [1] * 2, [0, 1])
    assert found == pytest.approx([0.625 * math.log(2), 2.5 * math.log(2)])


def test_a_candidate_is_the_answer_or_not():
    found = ClassificationFormat(task(Goal.ANSWER), None, 8).guess_losses([0, 0, 0, 1], [1])
    assert found == pytest.approx([-math.log(2 / 6)])


def test_numbers_are_guessed_by_their_mean():
    numbers = ClassificationFormat(task(Goal.REGRESSION), None, 8)
    assert numbers.guess_losses([1.0, 3.0], [2.0, 5.0]) == pytest.approx([0, 9])


def test_texts_cannot_be_guessed():
    assert TextToTextFormat(task(Goal.ANSWER), None, 8).guess_losses([[1]], [[1]]) is None


def test_tags_are_guessed_by_their_frequency_among_words(encoder_tokenizer):
    # Of the words 3 have tag 0 and 1 has tag 1; with one added shares of 4/6 and 2/6. Other tokens do not count.
    tags = WordTagFormat(task(Goal.TAGS, 2), encoder_tokenizer, 8)
    train, validation = [[-100, 0, -100, 0], [0, 1, -100]], [[-100, 0, 1], [1, -100]]
    expected = [-(math.log(4 / 6) + math.log(2 / 6)) / 2, -math.log(2 / 6)]
    assert tags.guess_losses(train, validation) == pytest.approx(expected)
