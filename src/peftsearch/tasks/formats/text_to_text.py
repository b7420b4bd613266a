"""A text to write for each text: a column to read and a column to write, for encoder-decoders."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.names import split_names
from peftsearch.tasks.cells import read_fields, read_text
from peftsearch.tasks.format_entry import PREDICTION, FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.made_task import TaskKind, refuse_goal, split_examples, task_of
from peftsearch.tasks.next_token_tasks import COMPLETION, PROMPT
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.splits import check_sizes, warn_of_leaks
from peftsearch.tasks.tables import Table, is_null, require_columns
from peftsearch.tasks.task import TRAIN, Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

_NAME = "text_to_text"
MAX_LENGTH = 512
# Columns to read and to write. Those of prompts are for encoder-decoders alone, as `choose_format` says.
_PAIR, _PROMPTED = ("source", "target"), (PROMPT, COMPLETION)


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell by which columns tables hold texts to write; "" if they do not.

    These are source and target, or for an encoder-decoder prompt and completion. Beside a column text they are looked
    at only where --text or --label names one of them.
    """
    is_named = bool(request.text or request.label)
    columns = _find_columns(tables[0], request)
    if columns is None or ("text" in tables[0].first_cells and not is_named):
        return ""
    return f"{tables[0].name} has the columns '{columns[0]}' and '{columns[1]}'"


def _find_columns(table: Table, request: TaskRequest) -> tuple[str, str] | None:
    """The columns of a table that are read and written; None where they have other names, or hold no texts."""
    for pair in (_PAIR, *((_PROMPTED,) if request.is_encoder_decoder else ())):
        is_asked = request.text in (None, pair[0]) and request.label in (None, pair[1])
        if is_asked and all(name in table.first_cells and _may_be_text(table.first_cells[name]) for name in pair):
            return pair
    return None


def _may_be_text(value: object) -> bool:
    """Whether a cell is a text, or missing."""
    return isinstance(value, str) or is_null(value)


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with columns of texts to read and a column of texts to write.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    refuse_goal(request, _NAME, "writes texts")
    known = _find_columns(tables[0], request) or _PAIR
    text = tuple(split_names(request.text or known[0]))
    target = request.label or known[1]
    needed = (target, request.group) if request.group else (target,)
    for table in tables:
        require_columns(table.rows, (*text, *needed), source=table.name)
    tables = without_gaps(tables, text=text, needed=needed, drop=request.drop_missing)
    parts = [_to_examples(table, text=text, target=target, group=request.group) for table in tables]
    splits = split_examples(parts, [""] * len(parts[-1]), request)
    check_sizes(splits.rows, source=name)
    _check_targets(splits.rows[TRAIN], column=target, source=name)
    warn_of_leaks(splits.rows, source=name)
    return task_of(name, tables, request, kind=TaskKind(Goal.TEXT, (), MAX_LENGTH), splits=splits)


def _to_examples(table: Table, *, text: Sequence[str], target: str, group: str | None) -> list[Example]:
    columns = tuple((f"{column}:", column) for column in text)
    return [
        Example(
            read_fields(row, columns, where=where),
            (read_text(row, target, where=where),),
            group=read_text(row, group, where=where) if group else "",
            where=where,
        )
        for row, where in zip(table.rows, table.places(), strict=True)
    ]


def _check_targets(train: Sequence[Example], *, column: str, source: str) -> None:
    """Refuse targets that are all the same, from which nothing can be learned."""
    if len({example.text for example in train}) == 1:
        raise DataError(
            f"All {len(train)} training rows of {source} have the same text in column '{column}', but at least two "
            "different ones are needed. Check the column, or raise max_train_samples."
        )


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for an encoder-decoder.

    Raises:
        DataError: for another model, or class weights.
    """
    from peftsearch.tasks.text_writing import TextWritingFormat

    if not request.is_encoder_decoder:
        raise DataError(
            f"{request.task.name} has a text to write for each text, which the task format {_NAME} learns with an "
            "encoder-decoder, such as T5 or BART, but the model is none. Take one, or give another --task_format."
        )
    return TextWritingFormat(request.task, request.tokenizer, request.max_length, request.written.limits)


def answer(output: Any, example: Example, reading: TaskReading) -> dict[str, Any]:
    """The text that the model writes."""
    return {PREDICTION: output}


register_task_format(
    TaskFormatEntry(
        _NAME,
        "a text to write for each text, by encoder-decoders: source and target, or prompt and completion",
        (Goal.TEXT,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=lambda row, columns, where: read_fields(row, columns, where=where),
        answer_columns=lambda reading: (PREDICTION,),
        answer=answer,
    )
)
