"""Words as token ids: rows that come cut into words are tokenised, and it is kept where each word begins."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from peftsearch.errors import ModelError
from peftsearch.tasks.encoded import readable

logger = logging.getLogger(__name__)

Words = Sequence[str]


@dataclass(frozen=True)
class WordColumns:
    """The result of `tokenise_words`.

    Args:
        columns: name -> the token column, a list of tokens for each row.
        starts: for each row the place of the first token of each word, in their order; words beyond the limit have
            none.
        num_truncated: rows with words beyond the limit.
    """

    columns: dict[str, list[list[int]]]
    starts: list[list[int]]
    num_truncated: int


def check_word_ids(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not tell which word a token is of.

    Raises:
        ModelError: if it is none of the `tokenizers` library.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"The tokenizer is a {type(tokenizer).__name__}, which does not tell the words that its tokens are of. "
            "Tags need a tokenizer of the tokenizers library ('fast', with a tokenizer.json): take another model."
        )


def tokenise_words(rows: Sequence[Words], *, tokenizer: PreTrainedTokenizerBase, max_length: int) -> WordColumns:
    """Tokenise rows of words in one call, truncate them, and warn of how many were truncated.

    A word of which the tokenizer reads nothing, such as a lone variation selector, is read as its unknown token, so
    that every word within the limit has a token.

    Args:
        rows: the words of each row, at least one.
        tokenizer: the model's, as `check_word_ids` lets it pass.
        max_length: tokens kept of a row, special tokens included.

    Raises:
        ModelError: for a tokenizer that fails, or has no unknown token for a word of which it reads nothing.
    """
    if not rows:
        return WordColumns({"input_ids": [], "attention_mask": []}, [], 0)
    with readable("words"):
        known = _with_unknown(rows, tokenizer)
        encoded = _encode(_spaced(known, tokenizer), tokenizer, truncation=True, max_length=max_length)
    columns = {name: encoded[name] for name in tokenizer.model_input_names if name in encoded}
    starts = [_starts(encoded.word_ids(i)) for i in range(len(rows))]
    num_truncated = sum(len(found) < len(words) for found, words in zip(starts, rows, strict=True))
    if num_truncated:
        logger.warning(
            "%d of %d examples were longer than %d tokens and were truncated.", num_truncated, len(rows), max_length
        )
    return WordColumns(columns, starts, num_truncated)


def _encode(rows: Sequence[Words], tokenizer: Any, **options: Any) -> Any:
    return tokenizer([list(words) for words in rows], is_split_into_words=True, verbose=False, **options)


def _starts(word_ids: Sequence[int | None]) -> list[int]:
    """The first place of each word."""
    pairs = zip([None, *word_ids], word_ids)
    return [place for place, (before, word) in enumerate(pairs) if word is not None and word != before]


def _with_unknown(rows: Sequence[Words], tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    """The rows with the unknown token in place of words of which the tokenizer reads nothing."""
    vocabulary = sorted({word for words in rows for word in words})
    read = _encode([[word] for word in vocabulary], tokenizer)
    unread = {word for i, word in enumerate(vocabulary) if not _starts(read.word_ids(i))}
    if unread and tokenizer.unk_token is None:
        raise ModelError(
            f"The tokenizer reads nothing of the token {min(unread)!r}, and has no unknown token to stand for it. "
            "Remove such tokens with their tags, or take another model."
        )
    return [[str(tokenizer.unk_token) if word in unread else word for word in words] for words in rows]


def _spaced(rows: Sequence[Words], tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    """The rows with a space before each word but the first, for tokenizers whose words begin with their space."""
    if not _wants_spaces(tokenizer):
        return [list(words) for words in rows]
    return [[word if i == 0 else f" {word}" for i, word in enumerate(words)] for words in rows]


def _wants_spaces(tokenizer: Any) -> bool:
    """Whether words with their spaces, and only these, are read as they are in a text: so with GPT-2's tokenizer."""
    in_text = tokenizer("a b", add_special_tokens=False)["input_ids"]
    alone, spaced = (
        _encode([words], tokenizer, add_special_tokens=False)["input_ids"][0] for words in (["a", "b"], ["a", " b"])
    )
    return alone != in_text and spaced == in_text
