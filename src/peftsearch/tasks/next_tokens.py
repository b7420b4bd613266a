"""What a causal model makes of the next tokens: outputs at the places that count alone, and their losses."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from peftsearch.tasks.encoded import IGNORED_LABEL
from peftsearch.tasks.token_scores import TokenScore


def next_labels(labels: Tensor) -> Tensor:
    """The label that each token has to predict, which is that of the token after it; -100 where none counts.

    Args:
        labels: (batch, tokens), -100 where a token does not count.

    Returns:
        (batch, tokens).
    """
    return pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)


def forward_at_labels(model: nn.Module, batch: Mapping[str, Tensor], *, with_loss: bool) -> Any:
    """The outputs of a causal model, with logits at the tokens that predict one that counts, and nowhere else.

    With a large vocabulary the logits take more time and memory than all layers, and of prompts none is needed.

    Args:
        model: of transformers, or peft's around one.
        batch: token columns and "labels", (batch, tokens), of which at least one counts.
        with_loss: whether the model computes its mean loss.

    Returns:
        its outputs; "logits" are (counted tokens, vocabulary), row after row.
    """
    wanted = next_labels(batch["labels"])
    counts = wanted != IGNORED_LABEL
    inputs: dict[str, Any] = {name: tensor for name, tensor in batch.items() if name != "labels"}
    if with_loss:
        inputs["labels"] = batch["labels"]
    if not _takes_places(model):
        outputs = model(**inputs)
        outputs.logits = outputs.logits[counts]
        return outputs
    # The model's own shift would not fit logits at some places; where these labels are given, it does not shift.
    shifted = {"shift_labels": wanted[counts]} if with_loss else {}
    return model(**inputs, **shifted, use_cache=False, logits_to_keep=counts)


def _takes_places(model: Any) -> bool:
    """Whether a model computes logits at given places alone, as nearly all causal models of transformers do."""
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def row_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The negative log-likelihood of each row, its mean over the tokens that count.

    Args:
        logits: (counted tokens, vocabulary), as `forward_at_labels` gives them.
        labels: (batch, tokens), -100 where a token does not count.

    Returns:
        (batch,).
    """
    wanted = next_labels(labels)
    counts = wanted != IGNORED_LABEL
    return _sum_rows(_losses(logits, wanted[counts]), counts) / counts.sum(1)


def score_rows(logits: Tensor, labels: Tensor) -> list[TokenScore]:
    """The scores of each row; arguments as for `row_losses`."""
    wanted = next_labels(labels)
    counts = wanted != IGNORED_LABEL
    losses = _sum_rows(_losses(logits, wanted[counts]), counts).tolist()
    right = _sum_rows((logits.argmax(-1) == wanted[counts]).float(), counts).tolist()
    return [TokenScore(*row) for row in zip(losses, counts.sum(1).tolist(), map(int, right), strict=True)]


def _losses(logits: Tensor, wanted: Tensor) -> Tensor:
    return cross_entropy(logits.float(), wanted, reduction="none")


def _sum_rows(values: Tensor, counts: Tensor) -> Tensor:
    """The sum of the values of each row's counted tokens."""
    rows = counts.nonzero()[:, 0]
    return torch.zeros(len(counts), dtype=values.dtype, device=values.device).index_add_(0, rows, values)
