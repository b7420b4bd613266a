"""One class or number a text: the text columns and the label column of a table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.names import split_names
from peftsearch.tasks.cells import read_fields, read_label, read_number, read_text
from peftsearch.tasks.format_entry import (
    DEFAULT_FORMAT,
    PREDICTION,
    PROBABILITY,
    FormatRequest,
    TaskFormatEntry,
    register_task_format,
)
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.labels import class_name, find_classes, find_goal
from peftsearch.tasks.made_task import TaskKind, split_examples, task_of
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.splits import check_splits, warn_of_leaks
from peftsearch.tasks.tables import Table, require_columns
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

MAX_LENGTH = 256


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with text columns and a label column.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    text = tuple(split_names(request.text or "text"))
    label = request.label or "label"
    needed = (label, request.group) if request.group else (label,)
    for table in tables:
        require_columns(table.rows, (*text, *needed), source=table.name)
    tables = without_gaps(tables, text=text, needed=needed, drop=request.drop_missing)
    goal = find_goal(tables, label, wanted=request.goal)
    labels = find_classes(tables, label) if goal is Goal.CLASSIFICATION else ()
    parts = [_to_examples(table, text=text, label=label, labels=labels, group=request.group) for table in tables]
    strata = [example.target if labels else "" for example in parts[-1]]
    splits = split_examples(parts, strata, request)
    check_splits(splits.rows, labels=labels, source=name)
    warn_of_leaks(splits.rows, source=name)
    return task_of(name, tables, request, kind=TaskKind(goal, labels, MAX_LENGTH), splits=splits)


def _to_examples(
    table: Table, *, text: Sequence[str], label: str, labels: Sequence[str], group: str | None
) -> list[Example]:
    columns = tuple((f"{column}:", column) for column in text)
    index: Mapping[str, int] = {name: i for i, name in enumerate(labels)}
    examples = []
    for row, where in zip(table.rows, table.places(), strict=True):
        fields = read_fields(row, columns, where=where)
        if labels:
            target: int | float = index[class_name(read_label(row, label, where=where))]
        else:
            target = read_number(row, label, where=where)
        examples.append(Example(fields, target, group=read_text(row, group, where=where) if group else ""))
    return examples


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for a kind of model: text-to-text for encoder-decoders, a head for all others.

    Raises:
        DataError: for class weights for a model that writes texts.
    """
    from peftsearch.tasks.classification import ClassificationFormat
    from peftsearch.tasks.text_to_text import TextToTextFormat

    if not request.is_encoder_decoder:
        return ClassificationFormat(request.task, request.tokenizer, request.max_length, request.class_weights)
    if request.class_weights:
        raise DataError(
            "training.class_weights is 'balanced', but an encoder-decoder model writes labels as texts and has no "
            "class weights. Leave it out, or take an encoder or a decoder."
        )
    return TextToTextFormat(request.task, request.tokenizer, request.max_length)


def answer_columns(reading: TaskReading) -> tuple[str, ...]:
    """The prediction, and the probability of each class."""
    return (PREDICTION, *(PROBABILITY + label for label in reading.labels))


def answer(output: Any, example: Example, reading: TaskReading) -> dict[str, Any]:
    """The columns of a prediction, with as many digits as float32 has."""
    if not reading.labels:
        return {PREDICTION: float(f"{output:.7g}") if isinstance(output, float) else output}
    likeliest = max(range(len(output)), key=output.__getitem__)
    shares = {PROBABILITY + label: float(f"{share:.7g}") for label, share in zip(reading.labels, output, strict=True)}
    return {PREDICTION: reading.labels[likeliest], **shares}


register_task_format(
    TaskFormatEntry(
        DEFAULT_FORMAT,
        "one class or number a text, which may stand in several columns",
        (Goal.CLASSIFICATION, Goal.REGRESSION, Goal.ANSWER),
        recognise=lambda tables, request: "",
        load=load,
        make=make,
        read_fields=lambda row, columns, where: read_fields(row, columns, where=where),
        answer_columns=answer_columns,
        answer=answer,
    )
)
