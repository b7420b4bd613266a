"""The loss of a model on the encoded examples of a task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from peftsearch.processes import num_processes
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.arguments import uses_bf16
from peftsearch.training.mean_gradients import ExampleLoss
from peftsearch.training.micro_batches import Batch, num_items
from peftsearch.training.settings import TrainingSettings


@dataclass(frozen=True)
class TaskLoss(ExampleLoss):
    """The loss that a model computes of the labels of a task's examples.

    Args:
        model: on the device to use.
        task_format: how the task is put to the model.
        examples: encoded.
        settings: batch size and precision.
    """

    model: nn.Module
    task_format: TaskFormat
    examples: EncodedDataset
    settings: TrainingSettings

    def batches(self, rows: Sequence[int]) -> list[Batch]:
        """Batches of examples of like length, in the passes of their format."""
        # The settings' batch is that of all processes, and memory holds a process's part of it.
        size = math.ceil(self.settings.per_device_train_batch_size / num_processes())
        lengths = self.examples.lengths
        ordered = sorted(rows, key=lengths.__getitem__, reverse=True)
        starts = range(0, len(ordered), size)
        whole = (self.task_format.collate([self.examples[i] for i in ordered[k : k + size]]) for k in starts)
        return [part for batch in whole for part in self.task_format.passes(batch)]

    def num_items(self, batch: Batch) -> int:
        return num_items(batch)

    def mean(self, batch: Batch) -> torch.Tensor:
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(self.settings.bf16)):
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            return self.task_format.mean_loss(self.task_format.forward(self.model, batch), batch)
