"""Numbers of a regression in a unit that heads learn, and back in the user's when they are saved."""

import logging
import random
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel
from torch import nn

from peftsearch.models.head import find_output_layer
from peftsearch.models.load import sketch_model
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.target_scale import AS_GIVEN, TargetScale
from peftsearch.tasks.task_format import TaskFormat

logger = logging.getLogger(__name__)

# Rows whose hidden states are averaged, and those of one pass.
_ROWS, _BATCH = 128, 16


def standardised(task_format: TaskFormat, model: str) -> TaskFormat:
    """The same format with targets of mean 0 and deviation 1, if a head learns numbers.

    Args:
        task_format: how the task is put to the model.
        model: the pretrained model as the user named it.
    """
    if task_format.head.problem_type != "regression":
        return task_format
    layer = find_output_layer(sketch_model(model, task_format.head).model)
    if layer is None:
        logger.warning("The head of '%s' has no linear layer at its end; targets stay as they are.", model)
        return task_format
    return task_format.standardised(has_bias=layer.bias is not None)


def start_at_mean(model: Any, task_format: TaskFormat, train: EncodedDataset, *, seed: int) -> None:
    """Let a head without a bias start with outputs near a constant: the mean of its targets.

    With h the mean of the hidden states that the last layer reads, its weights are moved by mean h / |h|^2. A head
    with a bias stays as it is, since the mean is not in its targets.

    Args:
        model: with a fresh head, which is changed in place.
        task_format: how the task is put to the model.
        train: encoded examples.
        seed: of the draw of some of them.
    """
    offset = task_format.scale.offset
    layer = find_output_layer(model) if offset else None
    if layer is None:
        return
    model.to(PartialState().device)
    was_training = model.training
    model.eval()
    rows = random.Random(seed).sample(range(len(train)), min(_ROWS, len(train)))
    total = torch.zeros_like(layer.weight)
    for start in range(0, len(rows), _BATCH):
        batch = task_format.collate([train[i] for i in rows[start : start + _BATCH]])
        inputs = {name: tensor.to(total.device) for name, tensor in batch.items() if name != "labels"}
        # Outputs are w.h, so that the gradient of their sum is the sum of the hidden states.
        total += torch.autograd.grad(model(**inputs).logits.sum(), layer.weight)[0]
    mean = total / len(rows)
    with torch.no_grad():
        layer.weight += offset * mean / mean.square().sum()
    model.train(was_training)


@torch.no_grad()
def fold_scale(model: nn.Module, scale: TargetScale) -> None:
    """Make a trained model predict in the user's units, wherever it is loaded.

    With mean m and deviation s, an output w.x + b becomes s (w.x + b) + m: the weight is s w and the bias s b + m, so
    that nothing has to be saved beside them.

    Args:
        model: trained on standardised targets; its head is changed in place.
        scale: of the targets; one with a mean needs a head with a bias.
    """
    if scale == AS_GIVEN:
        return
    base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    layer = find_output_layer(base)
    assert layer is not None  # else nothing would have been standardised
    layer.weight.mul_(scale.deviation)
    if layer.bias is not None:
        layer.bias.mul_(scale.deviation).add_(scale.mean)
