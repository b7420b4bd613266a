"""Notice a training that does not start: one whose validation loss is that of guessing."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from transformers import TrainerCallback

from peftsearch.tasks.task_format import TaskFormat

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
        loss: mean validation loss at that step.
        guess: mean validation loss of guessing by the training labels.
    """

    learning_rate: float
    step: int
    loss: float
    guess: float

    @property
    def other_rate(self) -> float:
        """The rate of a second start: lower where the loss is worse than guessing, higher where it has not moved."""
        return self.learning_rate * (_FACTOR if self.loss <= _DIVERGED * self.guess else 1 / _FACTOR)

    @property
    def text(self) -> str:
        """A clause that says what was seen."""
        return (
            f"after {self.step:,} steps at rate {self.learning_rate:g} its validation loss was {self.loss:.3f}, "
            f"that of guessing by the labels' frequencies {self.guess:.3f}"
        )


class DidNotStart(Exception):  # noqa: N818  the training starts again
    """Carries the record of a training that did not start."""

    def __init__(self, failed: FailedStart):
        super().__init__(failed.text)
        self.failed = failed


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
                raise DidNotStart(FailedStart(args.learning_rate, state.global_step, loss, self.guess))


def check_step(num_steps: int) -> int:
    """The step after which a training of so many steps is checked."""
    return math.ceil(SHARE * num_steps)


def guess_losses(task_format: TaskFormat, train: Sequence, validation: Sequence) -> list[float] | None:
    """Compute the validation losses of a model that knows nothing but the labels of the training set.

    Args:
        task_format: tells classes from numbers.
        train: labels of the training set.
        validation: labels of the validation split.

    Returns:
        for classes the negative logarithm of each label's share in training, with one added to every count; for
        numbers the squared differences from the mean; None for text-to-text.
    """
    if task_format.num_labels is None:
        return None
    if task_format.problem_type == "regression":
        mean = fmean(train)
        return [(label - mean) ** 2 for label in validation]
    counts = Counter(train)
    total = len(train) + task_format.num_labels
    return [-math.log((counts[label] + 1) / total) for label in validation]


def beats_guessing(losses: Sequence[float], guesses: Sequence[float]) -> bool:
    """Tell whether losses are lower than those of guessing by two standard errors of their mean difference.

    Args:
        losses: of each validation example.
        guesses: of the same examples.
    """
    gains = [guess - loss for loss, guess in zip(losses, guesses, strict=True)]
    error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return fmean(gains) > 2 * error
