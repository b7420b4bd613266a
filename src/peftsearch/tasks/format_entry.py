"""The registry of task formats: what a row of the user's data is, from its columns to the columns of predictions.

Torch is not imported here, so that `peftsearch list task_formats` is quick.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsearch.registry import Registry
from peftsearch.task_head import Medium
from peftsearch.tasks.reading import Fields, TaskReading
from peftsearch.tasks.tables import Row, Table
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

AUTO = "auto"
# What data without the marks of another format is.
DEFAULT_FORMAT = "texts"


@dataclass(frozen=True)
class FormatRequest:
    """What a format makes a converter for a kind of model of.

    Args:
        task: its goal, labels and metrics are used.
        tokenizer: the model's; for pictures its image processor.
        is_encoder_decoder: as the model's configuration says.
        max_length: tokens kept of a row; 0 for pictures.
        class_weights: of each class in the loss; empty where all examples count alike.
    """

    task: Task
    tokenizer: Any
    is_encoder_decoder: bool
    max_length: int
    class_weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class TaskFormatEntry:
    """A registered task format.

    Args:
        name: for `--task_format`.
        description: one line for `peftsearch list task_formats`.
        goals: of the tasks that it reads where they name no format; no two formats share one.
        recognise: says by which mark the user's tables are of this format, in words after "since"; "" if they are not.
        load: makes a task of the user's tables, which it is given with the data's name.
        make: makes the converter of examples for a kind of model; it raises `DataError` for one that does not fit.
        read_fields: reads the fields of an example from a row that needs no label; it is given pairs of a field's
            label and its column, and the row in words for errors.
        answer_columns: names the columns that predictions add to a row.
        answer: makes these columns of a prediction for an example.
        medium: what the model reads.
        in_folder: gives a row as `read_fields` takes it, in which paths count from the working directory; it is given
            the pairs too, and the folder from which the row's paths count.
    """

    name: str
    description: str
    goals: tuple[Goal, ...]
    recognise: Callable[[Sequence[Table], TaskRequest], str]
    load: Callable[[str, Sequence[Table], TaskRequest], Task]
    make: Callable[[FormatRequest], "TaskFormat"]
    read_fields: Callable[[Row, Sequence[tuple[str, str]], str], Fields]
    answer_columns: Callable[[TaskReading], tuple[str, ...]]
    answer: Callable[[Any, Example, TaskReading], dict[str, Any]]
    medium: Medium = Medium.TEXTS
    in_folder: Callable[[Row, Sequence[tuple[str, str]], Path], Row] = lambda row, columns, folder: row


TASK_FORMATS: Registry[TaskFormatEntry] = Registry(
    "task format", package="peftsearch.tasks.formats", group="peftsearch.task_formats"
)


def register_task_format(entry: TaskFormatEntry) -> TaskFormatEntry:
    """Register a task format under its name.

    Raises:
        ValueError: for a name that is taken.
    """
    return TASK_FORMATS.add(entry.name, entry)


def format_of_goal(goal: Goal) -> TaskFormatEntry:
    """The format that reads tasks with a goal."""
    return next(TASK_FORMATS[name] for name in TASK_FORMATS if goal in TASK_FORMATS[name].goals)


def format_of(task: Task | TaskReading) -> TaskFormatEntry:
    """The format that reads the rows of a task: the one that it names, or that of its goal."""
    return TASK_FORMATS[task.task_format] if task.task_format else format_of_goal(Goal(task.goal))


def choose_format(tables: Sequence[Table], request: TaskRequest) -> tuple[TaskFormatEntry, str]:
    """Choose the format of the user's data, and say why in a sentence.

    Args:
        tables: as they were read.
        request: its `task_format` and columns.

    Raises:
        UnknownNameError: for a format that is not registered.
    """
    if request.task_format != AUTO:
        return TASK_FORMATS[request.task_format], f"The task format is {request.task_format}, as asked."
    for name in TASK_FORMATS:
        if reason := TASK_FORMATS[name].recognise(tables, request):
            return TASK_FORMATS[name], f"The task format is {name}, since {reason}; --task_format decides otherwise."
    return TASK_FORMATS[DEFAULT_FORMAT], f"The task format is {DEFAULT_FORMAT}, unless --task_format."
