"""Scores of the tokens of rows: means over all tokens, by hand."""

import math

import pytest

from peftsearch.errors import DivergedError
from peftsearch.tasks.token_scores import TokenScore, loss, next_token_accuracy, perplexity

ROWS = [TokenScore(6.0, 3, 1), TokenScore(0.0, 1, 1)]


def test_every_token_counts_alike():
    # 6 nats over 4 tokens, of which 2 are right; a mean over the rows would be (2 + 0) / 2.
    assert loss(ROWS) == 1.5
    assert perplexity(ROWS) == math.exp(1.5)
    assert next_token_accuracy(ROWS) == 50


def test_a_loss_that_is_no_number_is_refused():
    with pytest.raises(DivergedError, match="The model's loss is nan"):
        loss([*ROWS, TokenScore(math.nan, 1, 0)])
