"""Cells that hold a chat: a list of messages, each with a role and a content, read into JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_value, show_cell
from peftsearch.tasks.tables import Row, is_null

ASSISTANT = "assistant"
ROLES = ("system", "developer", "user", ASSISTANT, "tool")
Messages = list[dict[str, Any]]


def is_chat(value: object) -> bool:
    """Tell whether a cell is a list of messages, as far as its first element shows."""
    if not isinstance(value, list | tuple) or not value:
        return False
    return isinstance(value[0], Mapping) and ("role" in value[0] or {"from", "value"} <= set(value[0]))


def read_messages(row: Row, column: str, *, where: str) -> Messages:
    """Read a cell as a list of messages; keys "from" and "value" are read as "role" and "content".

    Args:
        row: one row of a table.
        column: name of the column.
        where: the row in words, for errors.

    Raises:
        DataError: if the cell is null, no list, an empty one, or has a message without role or content, of an unknown
            role, or an empty one of the assistant.
    """
    value = read_value(row, column, what="chat", where=where)
    if not isinstance(value, list | tuple):
        raise DataError(
            f"The chat in column '{column}' is {show_cell(value)} in {where}, but must be a list of messages such as "
            '{"role": "user", "content": "Hello"}. Give it in a jsonl, json or parquet file; prompts and completions '
            "that are texts are read with --task_format instructions."
        )
    if not value:
        raise DataError(f"The chat in column '{column}' has no message in {where}. Fill it or remove the row.")
    return [
        _read_message(message, f"Message {number} in column '{column}' of {where}")
        for number, message in enumerate(value, start=1)
    ]


def _read_message(message: object, what: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise DataError(f"{what} is {show_cell(message)}, but must be an object with a role and a content.")
    # As in the formats of ShareGPT, which TRL reads so too.
    names = {"from": "role", "value": "content"}
    found = {names.get(str(key), str(key)): value for key, value in message.items() if value is not None}
    role = found.get("role")
    if role not in ROLES:
        raise DataError(
            f"{what} has the role {show_cell(role)}. Known: {', '.join(ROLES)}. Rename the roles (human is user, gpt "
            "and bot are assistant)."
        )
    content, calls = found.get("content"), found.get("tool_calls")
    if calls is not None and not _is_list_of_objects(calls):
        raise DataError(f"{what} has the tool_calls {show_cell(calls)}, but they must be a list of objects.")
    has_call = bool(calls)
    if not _is_content(content) and not (content is None and has_call):
        raise DataError(
            f'{what} has the content {show_cell(content)}, but it must be a text, or a list of {{"type": "text", '
            '"text": ...}; only a message with tool_calls can do without.'
        )
    if role == ASSISTANT and not has_call and not "".join(texts_of(found)).strip():
        raise DataError(f"{what} is an answer without text: it would teach to say nothing. Fill it or remove the row.")
    return found


def _is_content(content: Any) -> bool:
    if _is_list_of_objects(content):
        return all(isinstance(part.get("text"), str) for part in content)
    return isinstance(content, str)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """The texts of a message's content; none for one that only calls tools."""
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or ()]


def read_json_cell(row: Row, column: str, *, where: str) -> Any:
    """Read a cell that holds an object or a list, such as tools, or the JSON of one; None for an empty one.

    Raises:
        DataError: for a text that is no JSON.
    """
    value = row.get(column)
    if is_null(value) or value == "":
        return None
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise DataError(
            f"Column '{column}' is {show_cell(value)} in {where}, which is no JSON: {error}. Correct it, or leave "
            "it empty."
        ) from error


def as_json(value: Any, *, where: str) -> str:
    """Write messages or tools as JSON.

    Raises:
        DataError: for a value that JSON does not have, such as a time.
    """
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The chat in {where} can't be written as JSON: {error}. Write such values as texts."
        ) from error


def ends_with_answer(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a chat's last turn is the assistant's."""
    return messages[-1]["role"] == ASSISTANT


def without_answer(messages: Messages) -> Messages:
    """A chat up to its last turn of the assistant, if that stands at its end."""
    return without_answer(messages[:-1]) if messages and ends_with_answer(messages) else messages
