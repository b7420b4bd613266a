"""Examples as token ids: tokenised once, padded batch by batch."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.task import Example

logger = logging.getLogger(__name__)

PAD_MULTIPLE = 8
# Positions with this label don't count in the loss.
IGNORED_LABEL = -100


class EncodedDataset(Dataset):
    """Tokenised examples; an item is a dict of `input_ids`, `attention_mask`, `labels`, `length` and the like.

    Args:
        columns: token columns of the tokenizer, each a list over rows.
        labels: of every row.
        num_truncated: rows that were longer than the limit.
    """

    def __init__(self, columns: Mapping[str, list[list[int]]], labels: Sequence, *, num_truncated: int = 0):
        self._columns = dict(columns)
        self._labels = list(labels)
        self.num_truncated = num_truncated

    @property
    def lengths(self) -> list[int]:
        """Tokens of every row, for grouping rows of similar length."""
        return [len(ids) for ids in self._columns["input_ids"]]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, object]:
        item: dict[str, object] = {name: column[index] for name, column in self._columns.items()}
        return {**item, "labels": self._labels[index], "length": len(self._columns["input_ids"][index])}


@dataclass(frozen=True)
class TokenColumns:
    """What the tokenizer made of the texts, and how many rows it cut."""

    columns: dict[str, list[list[int]]]
    num_truncated: int


def tokenise(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> TokenColumns:
    """Tokenise all texts in one call, cut them at `max_length` tokens and warn of how many were cut.

    Args:
        texts: first text of every row.
        pairs: second text of every row, or None.
        tokenizer: of the model.
        max_length: tokens kept, special tokens included.
    """
    if not texts:
        return TokenColumns({"input_ids": [], "attention_mask": []}, 0)
    encoded = tokenizer(
        list(texts), None if pairs is None else list(pairs), truncation=True, max_length=max_length, verbose=False
    )
    columns = {name: encoded[name] for name in tokenizer.model_input_names if name in encoded}
    num_truncated = _count_longer(texts, pairs, columns["input_ids"], tokenizer=tokenizer, max_length=max_length)
    if num_truncated:
        logger.warning(
            "%d of %d examples were longer than %d tokens and were truncated.", num_truncated, len(texts), max_length
        )
    return TokenColumns(columns, num_truncated)


def _count_longer(
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    ids: Sequence[Sequence[int]],
    *,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> int:
    # Only rows that fill the limit can have been cut, so only these are tokenised again.
    full = [i for i, row in enumerate(ids) if len(row) >= max_length]
    if not full:
        return 0
    again = tokenizer([texts[i] for i in full], None if pairs is None else [pairs[i] for i in full], verbose=False)
    return sum(len(row) > max_length for row in again["input_ids"])


def pad_inputs(
    features: Sequence[Mapping[str, object]], *, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, Tensor]:
    """Pad token columns on the right to the longest row, rounded up to a multiple of 8 but not beyond the limit.

    Args:
        features: items of an `EncodedDataset`.
        tokenizer: gives the padding token.
        max_length: limit of the model.

    Shape:
        every returned tensor: (batch, tokens).
    """
    if tokenizer.pad_token_id is None:
        raise ModelError("The tokenizer has no pad token. Set tokenizer.pad_token, for example to its eos token.")
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0)}
    names = [name for name in features[0] if name not in ("labels", "length")]
    longest = max(len(feature["input_ids"]) for feature in features)
    width = max(longest, min(round_up(longest), max_length))
    return {name: pad_rows([f[name] for f in features], width=width, fill=fill.get(name, 0)) for name in names}


def pad_rows(rows: Sequence[Sequence[int]], *, width: int, fill: int) -> Tensor:
    """Return the rows as one tensor (rows, width), padded on the right."""
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows], dtype=torch.long)


def round_up(length: int) -> int:
    """Round up to the next multiple of 8."""
    return -(-length // PAD_MULTIPLE) * PAD_MULTIPLE


def check_max_length(max_length: int) -> None:
    """Refuse a limit that leaves no room for text.

    Raises:
        DataError: for a limit below 4 tokens.
    """
    if max_length < 4:
        raise DataError(f"max_length is {max_length} tokens, but must be at least 4: special tokens need room too.")


@dataclass(frozen=True)
class EncodedSplit:
    """Examples and how a form encoded them, in the same order."""

    examples: tuple[Example, ...]
    encoded: Dataset
