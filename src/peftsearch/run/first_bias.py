"""Heads that begin with what is known of the labels before any text is read."""

from typing import Any

import torch

from peftsearch.models.head import find_output_layer
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.task_format import TaskFormat


def start_at_shares(model: Any, task_format: TaskFormat, train: EncodedDataset) -> None:
    """Let a head start near guessing by the labels' shares, where its task format says by which outputs.

    Without this, the first steps of a training with rare labels go into learning that they are rare. A head that was
    trained before has biases, and keeps them; one whose last layer has none starts as it was drawn.

    Args:
        model: with its head, which is changed in place.
        task_format: how the task is put to the model.
        train: encoded examples.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.3, with each label's own share.
    """
    outputs = task_format.first_outputs(train.labels)
    layer = find_output_layer(model) if outputs else None
    if layer is not None and layer.bias is not None and not layer.bias.any():
        with torch.no_grad():
            layer.bias.copy_(torch.tensor(outputs))
