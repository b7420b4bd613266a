"""Questions with their contexts as token ids: a context that is longer than the limit is read in several windows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.encoded import readable

logger = logging.getLogger(__name__)

# Part of the limit that a question may take, and that windows share by default.
_PART = 3
# In the place of a character for tokens that are none of the context.
OUTSIDE = -1


@dataclass(frozen=True)
class Windows:
    """The result of `cut_into_windows`: a row for each window, all windows of an example in their order.

    Args:
        columns: name -> the token column, a list of tokens for each row.
        examples: index of the example of each row.
        starts: for each row the first character of each token in its context; -1 for tokens outside of it.
        ends: the same of the character after each token.
        num_cut: questions that were too long and were cut.
    """

    columns: dict[str, list[list[int]]]
    examples: list[int]
    starts: list[list[int]]
    ends: list[list[int]]
    num_cut: int


def check_offsets(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not tell which characters a token is of.

    Raises:
        ModelError: if it is none of the `tokenizers` library.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"The tokenizer is a {type(tokenizer).__name__}, which does not tell the characters that its tokens are "
            "of. Spans need a tokenizer of the tokenizers library ('fast', with a tokenizer.json): take another model."
        )


def overlap_of(tokenizer: PreTrainedTokenizerBase, *, max_length: int, wanted: int) -> int:
    """The tokens that two windows of a context share.

    Args:
        tokenizer: the model's.
        max_length: tokens of a window with its question, special tokens included.
        wanted: as the user says; 0 for a third of the limit.

    Raises:
        DataError: for an overlap that leaves a window no token of its own beside the longest question.
    """
    overlap = wanted or max_length // _PART
    largest = max_length - max_length // _PART - tokenizer.num_special_tokens_to_add(pair=True) - 2
    if not 0 <= overlap <= largest:
        raise DataError(
            f"context_overlap is {overlap}, but windows of {max_length} tokens, of which the question may take a "
            f"third, share 1 to {largest} tokens. Lower --context_overlap, or raise --max_seq_length."
        )
    return overlap


def cut_into_windows(
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    overlap: int,
) -> Windows:
    """Tokenise questions with their contexts; questions longer than a third of the limit are cut, with a warning.

    Args:
        questions: of each example.
        contexts: likewise.
        tokenizer: the model's, as `check_offsets` lets it pass.
        max_length: tokens of a window with its question, special tokens included.
        overlap: tokens that two windows of a context share, as `overlap_of` lets it pass.

    Raises:
        ModelError: for a tokenizer that fails.
    """
    if not questions:
        return Windows({"input_ids": [], "attention_mask": []}, [], [], [], 0)
    call: Any = tokenizer
    # Tokenizers of decoders put nothing between two texts, so a line break does.
    line_break = "" if _separates(tokenizer) else "\n"
    with readable("texts"):
        shortened, num_cut = _cut_questions(questions, call, limit=max_length // _PART)
        encoded = call(
            shortened,
            [line_break + context for context in contexts],
            truncation="only_second",
            max_length=max_length,
            stride=overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
    places = [_places(encoded, row, shift=len(line_break)) for row in range(len(encoded["input_ids"]))]
    return Windows(
        {name: encoded[name] for name in tokenizer.model_input_names if name in encoded},
        encoded["overflow_to_sample_mapping"],
        [[start for start, _ in row] for row in places],
        [[end for _, end in row] for row in places],
        num_cut,
    )


def _separates(tokenizer: PreTrainedTokenizerBase) -> bool:
    num_single, num_pair = (tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True))
    return tokenizer.sep_token is not None and num_pair > num_single


def _cut_questions(questions: Sequence[str], tokenizer: Any, *, limit: int) -> tuple[list[str], int]:
    encoded = tokenizer(list(questions), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ends = [offsets[limit - 1][1] if len(offsets) > limit else None for offsets in encoded["offset_mapping"]]
    num_cut = sum(end is not None for end in ends)
    if num_cut:
        logger.warning("%d of %d questions were longer than %d tokens and were cut.", num_cut, len(questions), limit)
    return [question[:end] for question, end in zip(questions, ends, strict=True)], num_cut


def _places(encoded: Any, row: int, *, shift: int) -> list[tuple[int, int]]:
    """First and last place of each token in its context; a token that holds the line break alone is outside."""
    pairs = zip(encoded["offset_mapping"][row], encoded.sequence_ids(row), strict=True)
    return [
        (max(start - shift, 0), end - shift) if part == 1 and end > max(start, shift) else (OUTSIDE, OUTSIDE)
        for (start, end), part in pairs
    ]
