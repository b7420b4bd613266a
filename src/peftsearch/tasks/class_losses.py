"""Losses of heads with one class a row, in which classes may weigh differently."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from peftsearch.tasks.guessing import guess_classes


def weighted_mean(outputs: Any, batch: Mapping[str, Tensor], weights: Sequence[float]) -> Tensor:
    """The mean loss of a batch: the model's own, in which each example counts as much as its class weighs.

    It is the sum of weight times loss over the number of examples, not over the sum of the weights, so that batches
    and micro-batches add up. What a method adds to the model's loss, as AdaLoRA does, stays as it is.

    Args:
        outputs: with the model's "loss" and "logits" (batch, classes).
        batch: with "labels" (batch,).
        weights: of each class; empty where all count alike.
    """
    loss = outputs["loss"]
    if not weights:
        return loss
    logits = outputs["logits"]
    # By how much each example counts more or less than it does in the model's loss.
    extra = torch.tensor(weights, device=logits.device) - 1
    return loss + cross_entropy(logits.float(), batch["labels"], weight=extra, reduction="none").mean()


def class_losses(logits: Tensor, labels: Tensor, weights: Sequence[float]) -> Tensor:
    """The loss of each row, times the weight of its class.

    Args:
        logits: (batch, classes).
        labels: (batch,).
        weights: of each class; empty where all count alike.

    Returns:
        (batch,) negative log-likelihoods.
    """
    weight = torch.tensor(weights, device=logits.device) if weights else None
    return cross_entropy(logits.float(), labels, weight=weight, reduction="none")


def guessed_losses(
    train: Sequence[int], validation: Sequence[int], *, num_classes: int, weights: Sequence[float]
) -> list[float]:
    """Losses of guessing each class of the validation split by its share in training.

    Args:
        train: class of each training row.
        validation: class of each row of the validation split.
        num_classes: of the task.
        weights: of each class; empty where all count alike.
    """
    by_class = guess_classes(train, weights or (1.0,) * num_classes)
    return [by_class[label] for label in validation]


def class_probabilities(logits: Tensor) -> list[list[float]]:
    """Probabilities of the classes of each row, in double precision, in which different logits stay different.

    Args:
        logits: (batch, classes).
    """
    return logits.cpu().double().softmax(-1).tolist()
