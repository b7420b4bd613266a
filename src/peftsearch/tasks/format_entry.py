"""The registry of task formats: what a row of the user's data is, from its columns to the columns of predictions.

Torch is not imported here, so that `peftsearch list task_formats` is quick.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.registry import Registry
from peftsearch.task_head import Medium
from peftsearch.tasks.reading import Fields, TaskReading
from peftsearch.tasks.tables import READERS, Reader, Row, Table
from peftsearch.tasks.target_limits import DEFAULT_LIMITS, TargetLimits
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

AUTO = "auto"
# What data without the marks of another format is.
DEFAULT_FORMAT = "texts"
# Column of the answer, and what stands before a class's name in the column of its probability.
PREDICTION, PROBABILITY = "prediction", "probability_"


@dataclass(frozen=True)
class LossTokens:
    """Which tokens count in the loss of a language model, and how texts become rows.

    Args:
        completion_only: of prompts with completions, the completions alone.
        assistant_only: of chats, what the template marks as the assistant's alone.
        packing: whether texts are joined and cut into rows of the longest length.
    """

    completion_only: bool = True
    assistant_only: bool = False
    packing: bool = False


ALL_COMPLETIONS = LossTokens()


@dataclass(frozen=True)
class WrittenTexts:
    """How texts are learned and written.

    Args:
        limits: of texts that a text-to-text model learns, and of all that a model writes.
        loss_tokens: which tokens count in the loss of a language model.
    """

    limits: TargetLimits = DEFAULT_LIMITS
    loss_tokens: LossTokens = ALL_COMPLETIONS


USUAL_TEXTS = WrittenTexts()


@dataclass(frozen=True)
class FormatRequest:
    """What a format makes a converter for a kind of model of.

    Args:
        task: its goal, labels and metrics are used.
        tokenizer: the model's; for pictures its image processor.
        is_encoder_decoder: as the model's configuration says.
        max_length: tokens kept of a row; 0 for pictures.
        class_weights: of each class in the loss; empty where all examples count alike.
        written: how texts are learned and written.
    """

    task: Task
    tokenizer: Any
    is_encoder_decoder: bool
    max_length: int
    class_weights: tuple[float, ...] = ()
    written: WrittenTexts = USUAL_TEXTS


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
        readers: of files with further extensions, which tell the format only where it is asked for by name.
        settings: of a `TaskRequest` that this format alone reads.
        medium: what the model reads.
        optional_fields: labels of fields whose columns may be missing.
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
    readers: Mapping[str, Reader] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    medium: Medium = Medium.TEXTS
    optional_fields: tuple[str, ...] = ()
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


def readers_of(task_format: str) -> Mapping[str, Reader]:
    """The readers of files by their extension, with those of a format that is asked for by name.

    Raises:
        UnknownNameError: for a format that is not registered.
    """
    return READERS if task_format == AUTO else {**READERS, **TASK_FORMATS[task_format].readers}


def formats_with(extension: str) -> list[str]:
    """Names of the formats that read files of an extension where they are asked for."""
    return [name for name in TASK_FORMATS if extension in TASK_FORMATS[name].readers]


def choose_format(tables: Sequence[Table], request: TaskRequest) -> tuple[TaskFormatEntry, str]:
    """Choose the format of the user's data, and say why in a sentence.

    The columns decide, and the kind of the model where formats for several kinds share columns: an encoder-decoder
    writes the completion of a prompt (`text_to_text`), and a decoder goes on with the prompt.

    Args:
        tables: as they were read.
        request: its `task_format`, its columns and the kind of the model.

    Raises:
        UnknownNameError: for a format that is not registered.
    """
    if request.task_format != AUTO:
        return TASK_FORMATS[request.task_format], f"The task format is {request.task_format}, as asked."
    for name in TASK_FORMATS:
        if reason := TASK_FORMATS[name].recognise(tables, request):
            return TASK_FORMATS[name], f"The task format is {name}, since {reason}; --task_format decides otherwise."
    return TASK_FORMATS[DEFAULT_FORMAT], f"The task format is {DEFAULT_FORMAT}, unless --task_format."


def check_settings(entry: TaskFormatEntry, request: TaskRequest) -> None:
    """Refuse settings of other formats, which this one would pass over.

    Args:
        entry: the format that reads the data.
        request: with all settings.

    Raises:
        DataError: naming the first one, and the format that reads it.
    """
    for other in (TASK_FORMATS[name] for name in TASK_FORMATS):
        for name in (name for name in other.settings if name not in entry.settings):
            value = getattr(request, name)
            if value != TaskRequest.__dataclass_fields__[name].default:
                raise DataError(
                    f"{name} is {value!r}, but the task format is {entry.name}, which does not read it. Leave "
                    f"--{name} out, or give --task_format {other.name}."
                )
