"""Losses over the tokens of each row."""

import torch
from torch.nn.functional import cross_entropy

from peftsearch.tasks.encoded import IGNORED_LABEL


def mean_over_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The negative log-likelihood of each row, its mean over the tokens that count.

    Args:
        logits: (batch, tokens, classes).
        labels: (batch, tokens), -100 where a token does not count.

    Returns:
        (batch,).
    """
    # Row by row: the logits of a whole batch in float32 may not fit into memory.
    return torch.stack([_of_row(*row) for row in zip(logits, labels, strict=True)])


def _of_row(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits.float(), labels, ignore_index=IGNORED_LABEL)
