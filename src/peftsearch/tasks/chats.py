"""Chats as tokens: by the tokenizer's chat template, in the way of TRL's SFTTrainer."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from peftsearch.errors import DataError
from peftsearch.tasks.encoded import IGNORED_LABEL
from peftsearch.tasks.language_model import LabelledTokens
from peftsearch.tasks.messages import Messages, texts_of, without_answer
from peftsearch.tasks.task import Example
from peftsearch.tasks.whole_texts import completion_starts, without_first

logger = logging.getLogger(__name__)

# Labels of the fields beside the messages.
TOOLS, TEMPLATE_SETTINGS = "tools", "chat_template_kwargs"
_MARKS_ASSISTANT = re.compile(r"\{%-?\s*generation\s*-?%\}")
# Stands in for a message's text, to see whether the template writes it.
_CANARY = "peftsearch7canary"


def marks_assistant(tokenizer: Any) -> bool:
    """Whether a tokenizer's chat template marks what the assistant says."""
    return bool(_MARKS_ASSISTANT.search(tokenizer.get_chat_template()))


@dataclass(frozen=True)
class Chats:
    """Chats, of which the completion counts, or what the template marks as the assistant's, or everything.

    Args:
        tokenizer: the model's, with a chat template.
        completion_only: whether the tokens of the prompts do not count, where there are completions.
        assistant_only: whether only tokens count that the template marks as the assistant's.
    """

    tokenizer: Any
    completion_only: bool
    assistant_only: bool

    def learn(self, examples: Sequence[Example]) -> list[LabelledTokens]:
        found = [self._encode(example) for example in examples]
        with_prompts = [i for i, example in enumerate(examples) if example.answers]
        if not self.completion_only or not with_prompts:
            return found
        split = [examples[i] for i in with_prompts]
        prompts = [self._prompt(messages_of(example), example) for example in split]
        starts = completion_starts(prompts, [found[i].ids for i in with_prompts], split)
        for i, start in zip(with_prompts, starts, strict=True):
            ids, labels = found[i]
            found[i] = LabelledTokens(ids, without_first(labels, start))
        return found

    def ask(self, examples: Sequence[Example]) -> list[list[int]]:
        return [self._prompt(_asked(example), example) for example in examples]

    def _prompt(self, messages: Messages, example: Example) -> list[int]:
        return self._apply(messages, example, tokenize=True, return_dict=True, add_generation_prompt=True)["input_ids"]

    def _encode(self, example: Example) -> LabelledTokens:
        messages = [*messages_of(example), *_completion(example)]
        self._check_is_whole(messages, example)
        masks = {"return_assistant_tokens_mask": True} if self.assistant_only else {}
        encoded = self._apply(messages, example, tokenize=True, return_dict=True, **masks)
        ids = encoded["input_ids"]
        if not self.assistant_only:
            return LabelledTokens(ids, ids)
        marked = encoded["assistant_masks"]
        if not any(marked):
            raise DataError(
                f"The chat template marks nothing in {_place(example)} as the assistant's, so that no token counts "
                "with training.assistant_only. Remove the row, or leave --training.assistant_only out."
            )
        labels = [token if mark else IGNORED_LABEL for token, mark in zip(ids, marked, strict=True)]
        return LabelledTokens(ids, labels)

    def _check_is_whole(self, messages: Messages, example: Example) -> None:
        """Refuse a chat of which the template leaves a message out."""
        written = self._apply(messages, example, tokenize=False)
        for i, message in enumerate(messages):
            if not _is_in(message, written) and self._drops(messages, i, example):
                raise DataError(
                    f"The chat template leaves out message {i + 1}, of the role '{message['role']}', in "
                    f"{_place(example)}: the model would not read it. Remove such messages, or write their text into "
                    "another one."
                )

    def _drops(self, messages: Messages, i: int, example: Example) -> bool:
        """Whether a template leaves a message out, rather than writing its text in another way."""
        marked = {**messages[i], "content": _CANARY}
        return _CANARY not in self._apply([*messages[:i], marked, *messages[i + 1 :]], example, tokenize=False)

    def _apply(self, messages: Messages, example: Example, **options: Any) -> Any:
        """Apply the chat template to messages with the tools of their row.

        Raises:
            DataError: if the template refuses them.
        """
        fields: Mapping[str, Any] = {label.removesuffix(":"): text for label, text in example.fields}
        tools, settings = (json.loads(fields.get(name) or "null") for name in (TOOLS, TEMPLATE_SETTINGS))
        try:
            return self.tokenizer.apply_chat_template(messages, tools=tools, **(settings or {}), **options)
        except (TemplateError, ValueError, TypeError, LookupError, AttributeError) as error:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise DataError(
                f"The chat template refuses {_place(example)}: {error}. Its roles are, in their order: {roles}. "
                "Correct the row, or take a model whose template takes these roles."
            ) from error


def messages_of(example: Example) -> Messages:
    """The messages of a prompt, or of a whole chat."""
    return json.loads(example.fields[0][1])


def _completion(example: Example) -> Messages:
    return json.loads(example.answers[0]) if example.answers else []


def _asked(example: Example) -> Messages:
    """The messages before the answer that is asked for; all of a chat that holds none.

    Raises:
        DataError: if the assistant alone has spoken.
    """
    found = without_answer(messages_of(example))
    if not found:
        raise DataError(f"{_place(example).capitalize()} has turns of the assistant alone, and so nothing to answer.")
    return found


def _place(example: Example) -> str:
    return example.where or "a row"


def _is_in(message: Mapping[str, Any], written: str) -> bool:
    """Whether any line of a message's text is in what the template writes; true for one without text."""
    lines = [line.strip() for text in texts_of(message) for line in text.splitlines() if line.strip()]
    return not lines or any(line in written for line in lines)
