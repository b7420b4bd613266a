"""Runs that are stopped every few steps, without a chance to save anything, and go on."""

from collections.abc import Callable
from typing import Any

import pytest

from peftsearch.training.trainer import TaskTrainer


def stopped_often(run: Callable[[bool], Any], monkeypatch: pytest.MonkeyPatch, *, every: int) -> tuple[Any, int]:
    """Run to the end in pieces.

    Args:
        run: given whether it goes on.
        every: passes forward and backward of a piece.

    Returns:
        what the last piece returned, and how often the run was stopped.
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
