"""The loss of a batch, with the weights of its classes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.micro_batches import IGNORED


def mean_loss(task_format: TaskFormat, outputs: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The mean loss of a batch: the model's own, in which each example counts as much as its class weighs.

    It is the sum of weight times loss over the number of examples, not over the sum of the weights, so that batches
    and micro-batches add up. What a method adds to the model's loss, as AdaLoRA does, stays as it is.

    Args:
        task_format: has the weights, if there are any.
        outputs: of the model, with loss and logits.
        batch: with labels.
    """
    loss = outputs["loss"]
    if not task_format.class_weights:
        return loss
    logits, labels = outputs["logits"], batch["labels"]
    # By how much each example counts more or less than it does in the model's loss.
    extra = torch.tensor(task_format.class_weights, device=logits.device) - 1
    return loss + cross_entropy(logits.float(), labels, weight=extra, reduction="none").mean()


def row_losses(task_format: TaskFormat, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the loss of each row of a batch, times the weight of its class.

    Its mean over the rows is the loss of transformers' models; that of models of texts and tags is over all tokens
    instead.

    Args:
        task_format: has the weights, if there are any.
        logits: (batch, classes); (batch, 1) for numbers; (batch, target tokens, vocabulary) for texts;
            (batch, tokens, tags) for tags.
        labels: (batch,) classes or numbers, or (batch, tokens) with -100 where a token does not count.

    Returns:
        (batch,) the negative log-likelihood, for texts and tags its mean over the tokens that count; for numbers the
        squared difference.
    """
    if labels.is_floating_point():
        return (logits.float().squeeze(-1) - labels) ** 2
    if labels.dim() == 1:
        given = task_format.class_weights
        weights = torch.tensor(given, device=logits.device) if given else None
        return cross_entropy(logits.float(), labels, weight=weights, reduction="none")
    # Row by row: the logits of a whole batch in float32 may not fit into memory.
    return torch.stack([_of_tokens(*row) for row in zip(logits, labels, strict=True)])


def _of_tokens(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits.float(), labels, ignore_index=IGNORED)
