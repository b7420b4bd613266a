"""Examples as token ids: they are tokenised once and padded batch by batch."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import ModelError
from peftsearch.tasks.task import Example

logger = logging.getLogger(__name__)

PAD_MULTIPLE = 8
# Positions with this label do not count in the loss.
IGNORED_LABEL = -100


class EncodedDataset(Dataset):
    """A data set of tokenised rows; an item is a dict of token columns such as `input_ids`, `labels` and `length`.

    Args:
        columns: name -> the token column, a list of tokens for each row.
        labels: the label of each row.
        num_truncated: rows that were longer than the limit.
        num_truncated_targets: rows whose text to write was longer than its limit.
        num_left_out: examples that are no row, since nothing of them that counts is within the limit.
    """

    def __init__(
        self,
        columns: Mapping[str, list[list[int]]],
        labels: Sequence,
        *,
        num_truncated: int = 0,
        num_truncated_targets: int = 0,
        num_left_out: int = 0,
    ):
        self._columns = dict(columns)
        self._labels = list(labels)
        self.num_truncated, self.num_truncated_targets = num_truncated, num_truncated_targets
        self.num_left_out = num_left_out

    @property
    def lengths(self) -> list[int]:
        """Number of tokens of each row, for grouping rows of similar length."""
        return [len(ids) for ids in self._columns["input_ids"]]

    @property
    def labels(self) -> list:
        """The label of each row."""
        return self._labels

    def __len__(self) -> int:
        """Count the rows."""
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Get a row, without padding."""
        item: dict[str, Any] = {name: column[index] for name, column in self._columns.items()}
        return {**item, "labels": self._labels[index], "length": len(self._columns["input_ids"][index])}


@dataclass(frozen=True)
class TokenColumns:
    """The result of `tokenise`.

    Args:
        columns: name -> the token column, a list of tokens for each row.
        num_truncated: rows that were longer than the limit.
    """

    columns: dict[str, list[list[int]]]
    num_truncated: int


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Say in words that a tokenizer fails.

    Args:
        what: it reads, in words.

    Raises:
        ModelError: for any error but one of that sort.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises no narrower one
        raise ModelError(
            f"The tokenizer cannot read the {what}: {error}. Are all of its files in the model's folder, and do they "
            "belong together?"
        ) from error


def tokenise(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> TokenColumns:
    """Tokenise all texts in one call, truncate them, and warn of how many were truncated; see `tokenise_again`."""
    tokens = tokenise_again(texts, pairs, tokenizer=tokenizer, max_length=max_length)
    if tokens.num_truncated:
        logger.warning(
            "%d of %d examples were longer than %d tokens and were truncated.",
            *(tokens.num_truncated, len(texts), max_length),
        )
    return tokens


def tokenise_again(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> TokenColumns:
    """Tokenise all texts in one call and truncate them, of which the user has been told or will be.

    Args:
        texts: first text of each row.
        pairs: second text of each row; None for single texts.
        tokenizer: the model's.
        max_length: tokens kept of a row, special tokens included.

    Raises:
        ModelError: for a tokenizer that fails.
    """
    if not texts:
        return TokenColumns({"input_ids": [], "attention_mask": []}, 0)
    with readable("texts"):
        encoded = tokenizer(
            list(texts), None if pairs is None else list(pairs), truncation=True, max_length=max_length, verbose=False
        )
    columns = {name: encoded[name] for name in tokenizer.model_input_names if name in encoded}
    num_truncated = _count_longer(texts, pairs, columns["input_ids"], tokenizer=tokenizer, max_length=max_length)
    return TokenColumns(columns, num_truncated)


def _count_longer(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    ids: Sequence[Sequence[int]],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> int:
    # Only rows that fill the limit can have been truncated, so only these are tokenised again.
    full = [i for i, row in enumerate(ids) if len(row) >= max_length]
    if not full:
        return 0
    again = tokenizer([texts[i] for i in full], None if pairs is None else [pairs[i] for i in full], verbose=False)
    return sum(len(row) > max_length for row in again["input_ids"])


def pad_inputs(
    features: Sequence[Mapping[str, Any]], *, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, Tensor]:
    """Pad token columns on the right to the longest row, rounded up to a multiple of 8 but not beyond the limit.

    Args:
        features: items of an `EncodedDataset`.
        tokenizer: its padding tokens are used.
        max_length: the largest width that rounding up may give, in tokens.

    Returns:
        name of a token column -> (batch, tokens).

    Raises:
        ModelError: if the tokenizer has no pad token.
    """
    if tokenizer.pad_token_id is None:
        raise ModelError("The tokenizer has no pad token. Set tokenizer.pad_token, for example to its eos token.")
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0)}
    names = [name for name in features[0] if name not in ("labels", "length")]
    longest = max(len(feature["input_ids"]) for feature in features)
    rounded = -(-longest // PAD_MULTIPLE) * PAD_MULTIPLE
    width = max(longest, min(rounded, max_length))
    return {name: pad_rows([f[name] for f in features], width=width, fill=fill.get(name, 0)) for name in names}


def pad_rows(rows: Sequence[Sequence[int]], *, width: int, fill: int) -> Tensor:
    """Make one (rows, width) tensor of rows, padded on the right.

    Args:
        rows: token ids of each row.
        width: length of the longest row, or more.
        fill: the padding.
    """
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=torch.long)


@dataclass(frozen=True)
class EncodedSplit:
    """The examples of a split, and their encoded rows in the same order.

    Args:
        examples: of the split.
        encoded: as `TaskFormat.encode` gives them.
    """

    examples: tuple[Example, ...]
    encoded: EncodedDataset
