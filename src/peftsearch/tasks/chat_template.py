"""The chat template of a tokenizer: what it writes of a chat, what it leaves out, and where an answer ends."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from peftsearch.errors import DataError
from peftsearch.tasks.messages import ASSISTANT, Messages, texts_of
from peftsearch.tasks.task import Example

# Labels of the fields beside the messages.
TOOLS, TEMPLATE_SETTINGS = "tools", "chat_template_kwargs"
_MARKS_ASSISTANT = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Stands in for a text or a name, to see whether the template writes it.
_CANARY = "peftsearch7canary"


def marks_assistant(tokenizer: Any) -> bool:
    """Whether a tokenizer's chat template marks what the assistant says."""
    return bool(_MARKS_ASSISTANT.search(tokenizer.get_chat_template()))


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer, with the tools and settings of each row.

    Args:
        tokenizer: the model's, with a chat template.
    """

    tokenizer: Any
    # What of each kind of row was seen to be left out: the same roles with the same parts are tried once.
    _seen: dict[tuple, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def apply(self, messages: Messages, example: Example, **options: Any) -> Any:
        """Apply the template to messages with the tools of their row.

        Args:
            messages: of the row, or some of them.
            example: the row.
            options: of `apply_chat_template`.

        Raises:
            DataError: if the template refuses them.
        """
        return self._apply(messages, tools_of(example), example, **options)

    def check_is_whole(self, messages: Messages, example: Example) -> None:
        """Refuse a row of which the template leaves out a message, a call or the tools.

        Raises:
            DataError: with the row and what is left out.
        """
        written = self.apply(messages, example, tokenize=False)
        left_out = self._left_out_of_such_rows(messages, example)
        if not left_out:
            own = (i for i, message in enumerate(messages) if not _is_in(message, written))
            left_out = next((_named(messages, i) for i in own if self._drops_text(messages, i, example)), "")
        if left_out:
            raise DataError(
                f"The chat template leaves out {left_out} in {place_of(example)}: the model would not read it. Remove "
                "it from the row or write it into a message that the template keeps, or take a model whose template "
                "has it."
            )

    def end_of_answer(self) -> int | None:
        """The special token that ends an answer: the first one that the template writes after its text.

        None where it writes none, or no answer that is a text.
        """
        turns = [{"role": "user", "content": "?"}, {"role": ASSISTANT, "content": _CANARY}]
        try:
            written = self.tokenizer.apply_chat_template(turns, tokenize=False)
        except (TemplateError, ValueError, TypeError, LookupError, AttributeError):
            return None
        if _CANARY not in written:
            return None
        after = self.tokenizer(written.rpartition(_CANARY)[2], add_special_tokens=False)["input_ids"]
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        return next((token for token in after if token in special), None)

    def _left_out_of_such_rows(self, messages: Messages, example: Example) -> str:
        """What the template leaves out of every chat with these roles, calls and tools; "" for nothing."""
        tools = tools_of(example)
        parts = tuple((message["role"], _has_text(message), len(_calls(message))) for message in messages)
        kind = (parts, len(tools or ()))
        if kind not in self._seen:
            self._seen[kind] = self._find_left_out(messages, tools, example)
        return self._seen[kind]

    def _find_left_out(self, messages: Messages, tools: Any, example: Example) -> str:
        for i, message in enumerate(messages):
            if _has_text(message) and self._drops_text(messages, i, example):
                return _named(messages, i)
            for k in range(len(_calls(message))):
                if not self._writes_canary(_changed(messages, i, _with_call_named(message, k)), tools, example):
                    return f"a call of a tool in message {i + 1}"
        named = [_renamed(tool) for tool in tools or ()]
        is_whole = not named or self._writes_canary(messages, named, example)
        return "" if is_whole else f"the tools of the column '{TOOLS}'"

    def _drops_text(self, messages: Messages, i: int, example: Example) -> bool:
        """Whether the template leaves a message's text out, rather than writing it in another way."""
        is_list = not isinstance(messages[i].get("content"), str)
        content = [{"type": "text", "text": _CANARY}] if is_list else _CANARY
        changed = _changed(messages, i, {**messages[i], "content": content})
        return not self._writes_canary(changed, tools_of(example), example)

    def _writes_canary(self, messages: Messages, tools: Any, example: Example) -> bool:
        """Whether the canary is in what the template writes; true where it refuses it, as one that reads texts may."""
        try:
            return _CANARY in self._apply(messages, tools, example, tokenize=False)
        except DataError:
            return True

    def _apply(self, messages: Messages, tools: Any, example: Example, **options: Any) -> Any:
        settings = _field(example, TEMPLATE_SETTINGS) or {}
        try:
            return self.tokenizer.apply_chat_template(messages, tools=tools, **settings, **options)
        except (TemplateError, ValueError, TypeError, LookupError, AttributeError) as error:
            roles = ", ".join(_shown(message) for message in messages)
            raise DataError(
                f"The chat template refuses {place_of(example)}: {error}. Its roles are, in their order: {roles}. "
                "Correct the row, or take a model whose template takes such messages."
            ) from error


def tools_of(example: Example) -> Any:
    """The tools of a row, as its column has them; None without."""
    return _field(example, TOOLS)


def place_of(example: Example) -> str:
    """The row of an example, for messages."""
    return example.where or "a row"


def _field(example: Example, name: str) -> Any:
    texts = (text for label, text in example.fields if label == f"{name}:")
    return json.loads(next(texts, None) or "null")


def _shown(message: Mapping[str, Any]) -> str:
    role = str(message["role"])
    return f"{role} (calls a tool)" if _calls(message) else role


def _named(messages: Messages, i: int) -> str:
    return f"message {i + 1}, of the role '{messages[i]['role']}',"


def _changed(messages: Messages, i: int, message: dict[str, Any]) -> Messages:
    return [*messages[:i], message, *messages[i + 1 :]]


def _has_text(message: Mapping[str, Any]) -> bool:
    return any(text.strip() for text in texts_of(message))


def _calls(message: Mapping[str, Any]) -> list[Any]:
    return list(message.get("tool_calls") or ())


def _with_call_named(message: dict[str, Any], k: int) -> dict[str, Any]:
    calls = _calls(message)
    return {**message, "tool_calls": [*calls[:k], _renamed(calls[k]), *calls[k + 1 :]]}


def _renamed(tool: Any) -> Any:
    """A tool or a call under another name; as it is where it has none."""
    if not isinstance(tool, Mapping):
        return tool
    if isinstance(tool.get("function"), Mapping):
        return {**tool, "function": {**tool["function"], "name": _CANARY}}
    return {**tool, "name": _CANARY}


def _is_in(message: Mapping[str, Any], written: str) -> bool:
    """Whether every text of a message is in what the template writes, but for white space around it."""
    return all(text.strip() in written for text in texts_of(message))
