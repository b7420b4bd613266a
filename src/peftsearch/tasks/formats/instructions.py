"""Prompts with completions that are texts, in TRL's format `prompt` and `completion`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftsearch.tasks.cells import read_fields, read_text
from peftsearch.tasks.format_entry import (
    PREDICTION,
    TASK_FORMATS,
    FormatRequest,
    TaskFormatEntry,
    register_task_format,
)
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.made_task import refuse_goal
from peftsearch.tasks.messages import is_chat
from peftsearch.tasks.next_token_tasks import COMPLETION, DOES, PROMPT, make_task, refuse_misfits
from peftsearch.tasks.tables import Row, Table, require_columns
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

_NAME = "instructions"


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell whether tables have prompts and completions that are texts, for a model other than an encoder-decoder."""
    if request.is_encoder_decoder:
        return ""
    first = tables[0].first_cells
    columns = (request.text or PROMPT, request.label or COMPLETION)
    if columns != (PROMPT, COMPLETION) or not all(isinstance(first.get(column), str) for column in columns):
        return ""
    return f"{tables[0].name} has the columns '{PROMPT}' and '{COMPLETION}'"


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with a column of prompts and one of completions; of chats, as their own format does.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    prompt, completion = request.text or PROMPT, request.label or COMPLETION
    if _has_chats(tables[0].first_cells, prompt, completion):
        return TASK_FORMATS["chats"].load(name, tables, request)
    refuse_goal(request, _NAME, DOES)
    needed = (completion, request.group) if request.group else (completion,)
    for table in tables:
        require_columns(table.rows, (prompt, *needed), source=table.name)
    tables = without_gaps(tables, text=(prompt,), needed=needed, drop=request.drop_missing)

    def read(row: Row, where: str) -> Example:
        fields = ((f"{prompt}:", read_text(row, prompt, where=where)),)
        return Example(fields, (read_text(row, completion, where=where),), where=where)

    return make_task(name, tables, request, goal=Goal.INSTRUCTIONS, read=read)


def _has_chats(row: Row, prompt: str, completion: str) -> bool:
    """Whether prompts are chats, or there are whole chats and no prompts with completions."""
    cells = [row[prompt]] if {prompt, completion} <= set(row) else row.values()
    return any(map(is_chat, cells))


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for a decoder.

    Raises:
        DataError: for an encoder-decoder, class weights, or tokens to count that prompts do not have.
        ModelError: for a tokenizer without an end token.
    """
    from peftsearch.tasks.language_model import LanguageModelFormat
    from peftsearch.tasks.whole_texts import PromptsWithCompletions

    refuse_misfits(request, _NAME)
    reader = PromptsWithCompletions(request.tokenizer, request.written.loss_tokens.completion_only)
    return LanguageModelFormat(
        request.task, request.tokenizer, request.max_length, reader, limits=request.written.limits
    )


register_task_format(
    TaskFormatEntry(
        _NAME,
        "a prompt and its completion, which a decoder learns to write",
        (Goal.INSTRUCTIONS,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=lambda row, columns, where: read_fields(row, columns, where=where),
        answer_columns=lambda reading: (PREDICTION,),
        answer=lambda output, example, reading: {PREDICTION: output},
    )
)
