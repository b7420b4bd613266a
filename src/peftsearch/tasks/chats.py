"""Chats as tokens: by the tokenizer's chat template, in the way of TRL's SFTTrainer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.chat_template import ChatTemplate, place_of
from peftsearch.tasks.encoded import IGNORED_LABEL
from peftsearch.tasks.language_model import LabelledTokens
from peftsearch.tasks.messages import Messages, without_answer
from peftsearch.tasks.task import Example
from peftsearch.tasks.whole_texts import completion_starts, without_first


@dataclass(frozen=True)
class Chats:
    """Chats, of which the completion counts, or what the template marks as the assistant's, or everything.

    Args:
        template: of the model's tokenizer.
        completion_only: whether the tokens of the prompts do not count, where there are completions.
        assistant_only: whether only tokens count that the template marks as the assistant's.
    """

    template: ChatTemplate
    completion_only: bool
    assistant_only: bool

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokenizer's end token, and what the template writes at the end of an answer."""
        found = (self.template.tokenizer.eos_token_id, self.template.end_of_answer())
        return tuple(dict.fromkeys(token for token in found if token is not None))

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
        options: dict[str, Any] = {"tokenize": True, "return_dict": True, "add_generation_prompt": True}
        return self.template.apply(messages, example, **options)["input_ids"]

    def _encode(self, example: Example) -> LabelledTokens:
        messages = [*messages_of(example), *_completion(example)]
        self.template.check_is_whole(messages, example)
        masks = {"return_assistant_tokens_mask": True} if self.assistant_only else {}
        encoded = self.template.apply(messages, example, tokenize=True, return_dict=True, **masks)
        ids = encoded["input_ids"]
        if not self.assistant_only:
            return LabelledTokens(ids, ids)
        marked = encoded["assistant_masks"]
        if not any(marked):
            raise DataError(
                f"The chat template marks nothing in {place_of(example)} as the assistant's, so that no token counts "
                "with training.assistant_only. Remove the row, or leave --training.assistant_only out."
            )
        labels = [token if mark else IGNORED_LABEL for token, mark in zip(ids, marked, strict=True)]
        return LabelledTokens(ids, labels)


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
        raise DataError(
            f"{place_of(example).capitalize()} has turns of the assistant alone, and so nothing to answer."
        )
    return found
