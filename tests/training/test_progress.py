"""How a stage is shown: bars on terminals only, and few lines in logs."""

import io
import logging

import pytest

from peftsearch.training.callbacks import numbers_of
from peftsearch.training.progress import Bar, Lines, open_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="peftsearch")
    return lambda: [record.getMessage() for record in caplog.records]


def test_what_is_no_terminal_gets_no_carriage_returns(monkeypatch, lines):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    progress = open_progress("search", unit="step", total=1000)
    for _ in range(1000):
        progress.update()
    progress.close()
    assert isinstance(progress, Lines) and stream.getvalue() == ""
    assert lines() == ["search: 1000 of 1000 steps, ended after 00:00"]


def test_a_terminal_gets_a_bar_with_the_numbers(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    progress = open_progress("search", unit="step", total=3)
    progress.show({"size": "641/600"})
    progress.update(3)
    progress.close()
    assert isinstance(progress, Bar) and "3/3" in stream.getvalue() and "size=641/600" in stream.getvalue()


def test_a_long_stage_says_twice_a_minute_how_long_it_still_takes(lines):
    clock = Clock()
    progress = Lines("search", unit="step", total=400, clock=clock)
    for step in range(1, 101):
        clock.seconds = float(step)
        progress.show({"loss": f"{1 / step:.2f}"})
        progress.update()
    # 30 of 400 steps in 30 s leave 370 s.
    assert lines()[0] == "search: 30 of 400 steps, loss 0.03, 06:10 left" and len(lines()) == 3


def test_what_was_done_before_does_not_count_as_speed(lines):
    clock = Clock()
    progress = Lines("compare", unit="run", total=12, done=8, clock=clock)
    clock.seconds = 60.0
    progress.update(2)
    assert lines() == ["compare: 10 of 12 runs, 01:00 left"]


def test_a_stage_without_a_known_end_has_no_time_left(lines):
    clock = Clock()
    progress = Lines("trials", unit="trial", clock=clock)
    clock.seconds = 31.0
    progress.update()
    assert lines() == ["trials: 1 trials"]


def test_the_numbers_of_a_search_step_stand_against_the_budget():
    row = {"stage": "rank", "loss_weights": 0.51234, "expected_parameters": 35104.4, "budget_parameters": 22713}
    row |= {"live_modules": 61, "triggers": 14, "temperature": 3.2, "seconds": 9.0}
    assert numbers_of(row, {"live_modules": "modules", "triggers": "triggers"}) == {
        "stage": "rank",
        "loss": "0.5123",
        "size": "35,104/22,713",
        "modules": "61",
        "triggers": "14",
    }


def test_the_numbers_of_a_training_are_its_loss_and_its_scores():
    assert numbers_of({"loss": 2.0, "grad_norm": 1.0}, {}) == {"loss": "2"}
    assert numbers_of({"validation_accuracy": 57.4, "epoch": 1.0}, {}) == {"validation_accuracy": "57.4"}
