"""Whole texts, of which a causal model learns every next token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_fields, read_text
from peftsearch.tasks.format_entry import PREDICTION, FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.made_task import refuse_goal
from peftsearch.tasks.next_token_tasks import DOES, make_task, refuse_misfits
from peftsearch.tasks.tables import Table, require_columns
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

_NAME, _TEXT = "language_model", "text"


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell whether tables have texts alone: a column text, none beside it but that of groups, and no other is named.

    Beside another column a text may have a label, whose name the user did not give.
    """
    first = tables[0].first_cells
    others = set(first) - {_TEXT, request.group}
    if request.text or request.label or others or not isinstance(first.get(_TEXT), str):
        return ""
    return f"{tables[0].name} has the column '{_TEXT}' alone"


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with a column of texts.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its text column, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    refuse_goal(request, _NAME, DOES)
    column = request.text or _TEXT
    if request.label:
        raise DataError(f"label is '{request.label}', but the task format {_NAME} has no label. Leave --label out.")
    needed = (column, request.group) if request.group else (column,)
    for table in tables:
        require_columns(table.rows, needed, source=table.name)
    tables = without_gaps(tables, text=(), needed=needed, drop=request.drop_missing)
    return make_task(
        name, tables, request, goal=Goal.LANGUAGE_MODEL, read=lambda row, where: _example(row, column, where)
    )


def _example(row: Any, column: str, where: str) -> Example:
    return Example(((f"{column}:", read_text(row, column, where=where)),), (), where=where)


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for a decoder.

    Raises:
        DataError: for an encoder-decoder, class weights, or tokens to count that texts do not have.
        ModelError: for a tokenizer without an end token.
    """
    from peftsearch.tasks.language_model import LanguageModelFormat
    from peftsearch.tasks.whole_texts import WholeTexts

    refuse_misfits(request, _NAME)
    reader = WholeTexts(request.tokenizer)
    return LanguageModelFormat(
        *(request.task, request.tokenizer, request.max_length, reader),
        packs=request.written.loss_tokens.packing,
        limits=request.written.limits,
    )


register_task_format(
    TaskFormatEntry(
        _NAME,
        "whole texts, of which a decoder learns the next token",
        (Goal.LANGUAGE_MODEL,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=lambda row, columns, where: read_fields(row, columns, where=where),
        answer_columns=lambda reading: (PREDICTION,),
        answer=lambda output, example, reading: {PREDICTION: output},
    )
)
