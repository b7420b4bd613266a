"""Notice a training that does not start: one whose validation loss is that of guessing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from transformers import TrainerCallback

# Share of the steps after which a training must be better than guessing.
SHARE = 1 / 5
# Losses this far above that of guessing, as a factor, mean that the steps were too long.
_DIVERGED = 1.05
# A second start takes longer or shorter steps by this factor.
_FACTOR = 3.0


@dataclass(frozen=True)
class FailedStart:
    """A training that was no better than guessing after a fifth of its steps.

    Args:
        learning_rate: of that training.
        step: optimizer steps that it took.
        loss: lowest mean validation loss that was measured up to that step.
        guess: mean validation loss of guessing by the training labels.
        next_rate: of the second start.
        seconds: that it took.
    """

    learning_rate: float
    step: int
    loss: float
    guess: float
    next_rate: float
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """A clause that says what was seen."""
        return (
            f"after {self.step:,} steps at rate {self.learning_rate:g} its lowest validation loss was "
            f"{self.loss:.3f}, that of guessing by the labels' frequencies {self.guess:.3f}"
        )


def is_too_high(loss: float | None, guess: float) -> bool:
    """Whether a loss says that the rate was too high: it is no number (None), or worse than guessing by over 5%."""
    return loss is None or not loss <= _DIVERGED * guess


def next_rate(rates: Sequence[float], loss: float, guess: float, *, some_too_high: bool = False) -> float:
    """The rate of a second start: below all that were tried where the loss is worse than guessing, else above them.

    Args:
        rates: that were tried.
        loss: mean validation loss that they led to.
        guess: mean validation loss of guessing.
        some_too_high: whether any of them was, see `is_too_high`, so that a higher one is out.
    """
    return min(rates) / _FACTOR if some_too_high or is_too_high(loss, guess) else max(rates) * _FACTOR


class DidNotStart(Exception):  # noqa: N818  the training starts again
    """Carries the step and the loss of a training that is no better than guessing, and the loss of that."""

    def __init__(self, step: int, loss: float, guess: float):
        super().__init__(f"step {step}: a validation loss of {loss:.3f}")
        self.step, self.loss, self.guess = step, loss, guess


class StartCheck(TrainerCallback):
    """Stop a training that is no better than guessing after a fifth of its steps.

    Args:
        guess: mean validation loss of guessing.
        measure: computes the validation losses of the model as it is.
    """

    def __init__(self, guess: float, measure: Callable[[], Sequence[float]]):
        self.guess, self.measure = guess, measure

    def on_step_end(self, args, state, control, **_) -> None:
        if state.global_step == check_step(state.max_steps):
            loss = fmean(self.measure())
            if not loss < self.guess:
                raise DidNotStart(state.global_step, loss, self.guess)


def check_step(num_steps: int) -> int:
    """The step after which a training of so many steps is checked."""
    return math.ceil(SHARE * num_steps)


def beats_guessing(losses: Sequence[float], guesses: Sequence[float]) -> bool:
    """Tell whether losses are lower than those of guessing by two standard errors of their mean difference.

    Args:
        losses: of each validation example.
        guesses: of the same examples.
    """
    gains = [guess - loss for loss, guess in zip(losses, guesses, strict=True)]
    error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return fmean(gains) > 2 * error
