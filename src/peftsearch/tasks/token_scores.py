"""Scores of a language model: how likely it finds the tokens that come next, and how many it gets right."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from peftsearch.errors import DivergedError

# Above this loss the perplexity is too large for a number.
_LARGEST = 700.0


class TokenScore(NamedTuple):
    """What a language model makes of the tokens of a row that count.

    Args:
        loss: negative log-likelihood, summed over the tokens, in nats.
        count: tokens.
        right: tokens that were the likeliest.
    """

    loss: float
    count: int
    right: int


def loss(scores: Sequence[TokenScore]) -> float:
    """The mean negative log-likelihood of a token over all rows, in nats.

    Raises:
        DivergedError: if it is no number.
    """
    mean = sum(score.loss for score in scores) / sum(score.count for score in scores)
    if not math.isfinite(mean):
        raise DivergedError(
            f"The model's loss is {mean}, which is no number. Lower --training.learning_rate, or check the data and "
            "the model."
        )
    return mean


def perplexity(scores: Sequence[TokenScore]) -> float:
    """The exponential of the loss: among so many equally likely tokens the model would choose as surely."""
    return math.exp(min(loss(scores), _LARGEST))


def next_token_accuracy(scores: Sequence[TokenScore]) -> float:
    """Share of the tokens that were the likeliest, in percent."""
    return 100 * sum(score.right for score in scores) / sum(score.count for score in scores)
