"""The instruction example: write a date as ISO 8601 does. Its rows are made here, so that it needs no file."""

import random
from datetime import date, timedelta

from peftsearch.tasks.load import TaskEntry, register_task
from peftsearch.tasks.next_token_tasks import make_task
from peftsearch.tasks.tables import Row, Table
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest

NAME = "demo-sft"
_SIZES = {TRAIN: 80, VALIDATION: 20, TEST: 20}
# Not those of the calendar module, which speaks the language of the machine.
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_FIRST, _DAYS = date(1900, 1, 1), 45_000


def load_dates(request: TaskRequest) -> Task:
    """Draw distinct dates, always the same ones, and ask for each to be written as year, month and day.

    Args:
        request: its number of training examples and seed are used.
    """
    days = random.Random(0).sample(range(_DAYS), sum(_SIZES.values()))
    rows = iter([_row(_FIRST + timedelta(days=number)) for number in days])
    tables = [Table(split, [next(rows) for _ in range(size)]) for split, size in _SIZES.items()]
    return make_task(NAME, tables, request, goal=Goal.INSTRUCTIONS, read=_example)


def _row(day: date) -> dict[str, str]:
    prompt = f"Write {_MONTHS[day.month - 1]} {day.day}, {day.year} as an ISO 8601 date.\n"
    return {"prompt": prompt, "completion": day.isoformat()}


def _example(row: Row, where: str) -> Example:
    return Example((("prompt:", row["prompt"]),), (row["completion"],), where=where)


register_task(TaskEntry(NAME, "write a date as ISO 8601 does, for decoders (120 instructions, loss)", load_dates))
