"""Runs that are stopped every few steps, without a chance to save anything, and go on."""

from collections.abc import Callable
from typing import TypeVar

import pytest

from peftsearch.training.trainer import TaskTrainer

Result = TypeVar("Result")


def stopped_often(run: Callable[[bool], Result], monkeypatch: pytest.MonkeyPatch, *, every: int) -> tuple[Result, int]:
    """Run to the end, stopped every few passes and started again.

    Args:
        run: called with whether it resumes an earlier start.
        monkeypatch: pytest's fixture.
        every: passes forward and backward between two stops.

    Returns:
        the result of `run`, and how often it was stopped.
    """
    training_step, left = TaskTrainer.training_step, {"steps": every}

    def step(self, *args, **kwargs):
        if left["steps"] == 0:
            raise KeyboardInterrupt
        left["steps"] -= 1
        return training_step(self, *args, **kwargs)

    monkeypatch.setattr(TaskTrainer, "training_step", step)
    for num_stops in range(1000):
        left["steps"] = every
        try:
            return run(num_stops > 0), num_stops
        except KeyboardInterrupt:
            continue
    raise AssertionError("The run does not get on.")


def counted(run: Callable[[], Result], monkeypatch: pytest.MonkeyPatch) -> tuple[Result, int]:
    """Run without a stop; return the result of `run`, and its passes forward and backward."""
    training_step, passes = TaskTrainer.training_step, []

    def step(self, *args, **kwargs):
        passes.append(1)
        return training_step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(TaskTrainer, "training_step", step)
        return run(), len(passes)
