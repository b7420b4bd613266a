"""What follows from a loss that is no better than guessing."""

import math
from types import SimpleNamespace

import pytest

from peftsearch.training.start_check import (
    DidNotStart,
    StartCheck,
    beats_guessing,
    check_step,
    next_rate,
)


def test_a_loss_above_guessing_lowers_the_rate_and_one_that_stands_still_raises_it():
    assert next_rate([1e-2, 3e-2], loss=2.0, guess=0.7) == pytest.approx(1e-2 / 3)
    assert next_rate([1e-3, 3e-3], loss=0.7, guess=0.7) == pytest.approx(9e-3)
    assert next_rate([1e-2], loss=math.nan, guess=0.7) == pytest.approx(1e-2 / 3)
    assert next_rate([1e-3, 3e-3], loss=0.7, guess=0.7, some_too_high=True) == pytest.approx(1e-3 / 3)


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
