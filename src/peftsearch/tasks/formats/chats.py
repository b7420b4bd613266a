"""Chats: lists of messages in TRL's formats, of which the chat template of a tokenizer makes texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.format_entry import PREDICTION, FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.made_task import refuse_goal
from peftsearch.tasks.messages import ASSISTANT, as_json, is_chat, read_json_cell, read_messages
from peftsearch.tasks.next_token_tasks import COMPLETION, DOES, PROMPT, make_task, refuse_misfits
from peftsearch.tasks.reading import Fields
from peftsearch.tasks.tables import Row, Table, require_columns
from peftsearch.tasks.task import Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

_NAME = "chats"
# Columns of whole chats; the second one is ShareGPT's.
_WHOLE = ("messages", "conversations")
# Columns that go along with the messages, as TRL has them.
_ALONG = ("tools", "chat_template_kwargs")


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell by which columns tables hold lists of messages; "" if they do not."""
    first = tables[0].first_cells
    named = [column for column in (request.text, request.label) if column]
    found = [column for column in (named or _candidates(first)) if is_chat(first.get(column))]
    if named and found != named:
        return ""
    return f"the column '{found[0]}' of {tables[0].name} holds lists of messages" if found else ""


def _candidates(row: Row) -> tuple[str, ...]:
    """The columns in which a chat may stand: prompts with completions go before whole chats, as in TRL."""
    return (PROMPT,) if {PROMPT, COMPLETION} <= set(row) else (*_WHOLE, PROMPT)


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with whole chats, or with prompts and completions that are chats.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    refuse_goal(request, _NAME, DOES)
    messages, completion = _columns(tables[0], request)
    needed = (messages, *([completion] if completion else []), *([request.group] if request.group else []))
    for table in tables:
        require_columns(table.rows, needed, source=table.name)
    tables = without_gaps(tables, text=(), needed=needed, drop=request.drop_missing)
    along = [name for name in _ALONG if any(name in row for table in tables for row in table.rows)]
    columns = tuple((f"{name}:", name) for name in (messages, *along))

    def read(row: Row, where: str) -> Example:
        fields = read_fields(row, columns, where)
        if not completion:
            _require_answer(row, messages, where)
            return Example(fields, (), where=where)
        _require_answer(row, completion, where)
        answer = read_messages(row, completion, where=where)
        return Example(fields, (as_json(answer, where=where),), where=where)

    return make_task(name, tables, request, goal=Goal.CHATS, read=read)


def _columns(table: Table, request: TaskRequest) -> tuple[str, str]:
    """The column of chats or prompts, and that of completions; "" for whole chats."""
    first = table.first_cells
    if request.label:
        return request.text or PROMPT, request.label
    if request.text:
        return request.text, COMPLETION if request.text == PROMPT else ""
    column = next((column for column in _candidates(first) if column in first), None)
    if column is None:
        raise DataError(
            f"{table.name} has neither a column 'messages' nor the columns '{PROMPT}' and '{COMPLETION}'. Its "
            f"columns: {', '.join(map(str, first))}. Name that of the chats in --text, or those of prompts and "
            "completions in --text and --label."
        )
    return column, COMPLETION if column == PROMPT else ""


def _require_answer(row: Row, column: str, where: str) -> None:
    if not any(message["role"] == ASSISTANT for message in read_messages(row, column, where=where)):
        raise DataError(
            f"The chat in column '{column}' of {where} has no turn of the role '{ASSISTANT}': there is nothing to "
            "learn from it. Remove the row."
        )


def read_fields(row: Row, columns: Sequence[tuple[str, str]], where: str) -> Fields:
    """Read a row's chat, and what goes along with it, as JSON; as `TaskFormatEntry` says."""
    (label, column), *along = columns
    chat = as_json(read_messages(row, column, where=where), where=where)
    return (
        (label, chat),
        *((other, as_json(read_json_cell(row, name, where=where), where=where)) for other, name in along),
    )


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for a decoder whose tokenizer has a chat template.

    Raises:
        DataError: for an encoder-decoder, class weights, or `assistant_only` with a template that marks no assistant.
        ModelError: for a tokenizer without a chat template, or without an end token.
    """
    from peftsearch.tasks.chat_template import ChatTemplate, marks_assistant
    from peftsearch.tasks.chats import Chats
    from peftsearch.tasks.language_model import LanguageModelFormat

    refuse_misfits(request, _NAME)
    if request.tokenizer.chat_template is None:
        raise ModelError(
            f"The rows of {request.task.name} are chats, but the model's tokenizer has no chat template, which makes "
            "a text of them. Take a model that was trained on chats ('Instruct'), put a chat_template.jinja beside "
            "its tokenizer, or give prompts and completions as texts."
        )
    loss = request.written.loss_tokens
    if loss.assistant_only and not marks_assistant(request.tokenizer):
        raise DataError(
            "training.assistant_only is true, but the model's chat template does not mark what the assistant says "
            "({% generation %} ... {% endgeneration %}). Add the marks to its chat_template.jinja, split the chats "
            "into the columns prompt and completion, or leave it out: then every token counts."
        )
    reader = Chats(ChatTemplate(request.tokenizer), loss.completion_only, loss.assistant_only)
    return LanguageModelFormat(
        request.task, request.tokenizer, request.max_length, reader, limits=request.written.limits
    )


register_task_format(
    TaskFormatEntry(
        _NAME,
        "lists of messages, which the model's chat template makes texts of",
        (Goal.CHATS,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=read_fields,
        answer_columns=lambda reading: (PREDICTION,),
        answer=lambda output, example, reading: {PREDICTION: output},
        optional_fields=tuple(f"{name}:" for name in _ALONG),
    )
)
