"""Weights of classes by their numbers of training examples."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.class_weights import balanced_weights, describe_weights
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.testing.tiny_models import tiny_tokenizer


def task(targets, labels=("a", "b", "c"), goal=Goal.CLASSIFICATION):
    train = tuple(Example((("text:", "x"),), target) for target in targets)
    # Only training examples count.
    splits = {"train": train, "validation": train[:1] * 7, "test": train[:1]}
    return Task("toy", goal, labels, "accuracy", "accuracy", splits, "all", 64)


def test_rare_classes_weigh_more_and_the_mean_is_one():
    # 8 examples, 3 classes: 8 / (3 * 4), 8 / (3 * 3), 8 / (3 * 1).
    targets = [0] * 4 + [1] * 3 + [2]
    weights = balanced_weights(task(targets))
    assert weights == pytest.approx((2 / 3, 8 / 9, 8 / 3))
    assert sum(weights[target] for target in targets) == pytest.approx(8)


def test_a_class_without_training_examples_is_left_as_it_is():
    assert balanced_weights(task([0, 0, 0, 2])) == pytest.approx((4 / 6, 1.0, 2.0))


def test_weights_are_named_or_their_range_is():
    assert describe_weights(("no", "yes"), (0.625, 2.5)) == "no 0.625, yes 2.5"
    many = [str(i) for i in range(9)]
    assert describe_weights(many, [9.0, *range(1, 9)]) == "1 1 to 0 9 (9 classes)"


@pytest.mark.parametrize(("goal", "targets"), [(Goal.REGRESSION, [0.5, 1.5]), (Goal.ANSWER, [("x",), ("y",)])])
def test_what_has_no_classes_has_no_weights(goal, targets):
    with pytest.raises(DataError, match=r"class_weights is 'balanced', but toy predicts (numbers|answers)"):
        balanced_weights(task(targets, (), goal))


def test_models_that_write_texts_have_no_weights():
    with pytest.raises(DataError, match="encoder-decoder model writes labels as texts"):
        make_task_format(
            task([0, 1, 2]),
            tokenizer=tiny_tokenizer(),
            is_encoder_decoder=True,
            max_length=64,
            class_weights=(1.0,) * 3,
        )
