"""A head of several labels that starts with what is known without reading: how frequent each label is."""

from typing import Any

import torch

from peftsearch.models.head import find_output_layer
from peftsearch.task_head import SEVERAL
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.guessing import label_shares
from peftsearch.tasks.task_format import TaskFormat


@torch.no_grad()
def start_at_shares(model: Any, task_format: TaskFormat, train: EncodedDataset) -> None:
    """Let a fresh head begin near the share of each label in training, instead of at 1/2.

    The biases of its last layer become the log-odds of the shares. Without this, the first fifth of a training with
    many rare labels goes into learning that they are rare. A head that was trained before has biases, and keeps them;
    one whose last layer has none starts as it was drawn.

    Args:
        model: with its head, which is changed in place.
        task_format: how the task is put to the model.
        train: encoded examples.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.3, with each label's own share.
    """
    layer = find_output_layer(model) if task_format.head.problem_type == SEVERAL else None
    if layer is None or layer.bias is None or layer.bias.any():
        return
    layer.bias.copy_(torch.tensor(label_shares(train.labels)).logit())
