"""Whole texts and prompts with completions as tokens, in the way of TRL's SFTTrainer."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.tasks.encoded import IGNORED_LABEL, readable
from peftsearch.tasks.language_model import LabelledTokens
from peftsearch.tasks.task import Example

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WholeTexts:
    """Texts of which every token counts, each with the end token that tells where it ends.

    Args:
        tokenizer: the model's, with an end token.
    """

    tokenizer: Any

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokenizer's end token."""
        return (self.tokenizer.eos_token_id,)

    def learn(self, examples: Sequence[Example]) -> list[LabelledTokens]:
        texts = [_ended(example.fields[0][1], self.tokenizer) for example in examples]
        return [LabelledTokens(ids, ids) for ids in tokens_of(texts, self.tokenizer)]

    def ask(self, examples: Sequence[Example]) -> list[list[int]]:
        return _open_tokens(examples, self.tokenizer)


@dataclass(frozen=True)
class PromptsWithCompletions:
    """Prompts and completions that are texts; the tokens of both are those of the two texts joined.

    Args:
        tokenizer: the model's, with an end token.
        completion_only: whether the tokens of the prompts do not count.
    """

    tokenizer: Any
    completion_only: bool

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokenizer's end token."""
        return (self.tokenizer.eos_token_id,)

    def learn(self, examples: Sequence[Example]) -> list[LabelledTokens]:
        prompts = self.ask(examples)
        whole = [_ended(example.fields[0][1] + example.answers[0], self.tokenizer) for example in examples]
        found = tokens_of(whole, self.tokenizer)
        starts = completion_starts(prompts, found, examples)
        return [
            LabelledTokens(ids, without_first(ids, start) if self.completion_only else ids)
            for ids, start in zip(found, starts, strict=True)
        ]

    def ask(self, examples: Sequence[Example]) -> list[list[int]]:
        return _open_tokens(examples, self.tokenizer)


def tokens_of(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Tokenise texts as they are, without a limit.

    Raises:
        ModelError: for a tokenizer that fails.
    """
    if not texts:
        return []
    with readable("texts"):
        return tokenizer(list(texts), verbose=False)["input_ids"]


def _open_tokens(examples: Sequence[Example], tokenizer: Any) -> list[list[int]]:
    """The tokens of prompts, without an end token that a tokenizer adds to every text."""
    texts = [example.fields[0][1] for example in examples]
    end = tokenizer.eos_token_id
    return [
        ids[:-1] if ids[-1:] == [end] and not text.endswith(tokenizer.eos_token) else ids
        for text, ids in zip(texts, tokens_of(texts, tokenizer), strict=True)
    ]


def without_first(ids: Sequence[int], count: int) -> list[int]:
    """Labels of tokens of which the first ones do not count."""
    return [IGNORED_LABEL] * count + list(ids[count:])


def completion_starts(
    prompts: Sequence[Sequence[int]], whole: Sequence[Sequence[int]], examples: Sequence[Example]
) -> list[int]:
    """Number of tokens before each completion: those that a prompt has in common with prompt and completion.

    Where these are fewer than the prompt's, it is said for how many rows.

    Args:
        prompts: the tokens of each prompt by itself.
        whole: the tokens of each prompt with its completion.
        examples: the same rows, for the message.
    """
    starts = [_common(prompt, both) for prompt, both in zip(prompts, whole, strict=True)]
    cut = [i for i, (prompt, start) in enumerate(zip(prompts, starts, strict=True)) if start < len(prompt)]
    if cut:
        first = examples[cut[0]].where or f"row {cut[0] + 1}"
        logger.warning(
            "The tokens of %d of %d prompts change where the completion follows, first in %s: %d of %d are the same. "
            "There the completion is taken to begin, so that training sees another end of the prompt than a "
            "prediction does. End prompts where a token ends, for example with a line break and no space.",
            len(cut),
            len(prompts),
            first,
            starts[cut[0]],
            len(prompts[cut[0]]),
        )
    return starts


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))


def _ended(text: str, tokenizer: Any) -> str:
    return text if text.endswith(tokenizer.eos_token) else text + tokenizer.eos_token
