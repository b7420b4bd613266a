"""Mean gradients of the training loss over a few examples, without an optimizer."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from peftsearch.errors import TrainingError
from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.arguments import uses_bf16
from peftsearch.training.micro_batches import Batch, MicroBatches, num_items
from peftsearch.training.settings import TrainingSettings


class MeanGradients:
    """Gradients of the loss of a model, averaged over each of several parts of some examples.

    Dropout is off, unless gradients are checkpointed, which transformers only does while it trains.

    Args:
        model: on the device to use; with gradient checkpointing it is put into training mode.
        task_format: how the task is put to the model.
        examples: encoded.
        parts: indices of disjoint examples.
        settings: batch size, precision and checkpointing.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        task_format: TaskFormat,
        examples: EncodedDataset,
        parts: Sequence[Sequence[int]],
        settings: TrainingSettings,
    ):
        self.model, self.task_format, self.settings = model, task_format, settings
        self.examples, self.parts = examples, parts
        self._micro_batches = MicroBatches()
        model.train(settings.gradient_checkpointing)
        if settings.gradient_checkpointing:
            any_model: Any = model
            any_model.gradient_checkpointing_enable()

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
        """Differentiate by some tensors of the model.

        Args:
            tensors: require gradients; one that the loss does not depend on has zeros.

        Returns:
            for each part, the gradient of each tensor.

        Raises:
            TrainingError: if a gradient is not finite.
        """
        found = [self._of_part(part, tensors) for part in self.parts]
        if not all(bool(torch.isfinite(gradient).all()) for part in found for gradient in part):
            raise TrainingError("A gradient at the start of the search is not finite. Check the data and the model.")
        return found

    def _of_part(self, part: Sequence[int], tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        batches = self._batches(part)
        items = sum(map(num_items, batches))
        total = [torch.zeros_like(tensor) for tensor in tensors]
        for batch in batches:
            passes = self._micro_batches.each(batch, partial(self._differentiate, tensors), undo=lambda: None)
            for own, gradients in passes:
                for sum_so_far, gradient in zip(total, gradients, strict=True):
                    if gradient is not None:
                        sum_so_far.add_(gradient, alpha=own / items)
        return total

    def _batches(self, part: Sequence[int]) -> list[Batch]:
        """Batches of examples of like length."""
        size, lengths = self.settings.per_device_train_batch_size, self.examples.lengths
        ordered = sorted(part, key=lengths.__getitem__, reverse=True)
        starts = range(0, len(ordered), size)
        return [self.task_format.collate([self.examples[i] for i in ordered[k : k + size]]) for k in starts]

    def _differentiate(
        self, tensors: Sequence[torch.Tensor], batch: Batch
    ) -> tuple[int, Sequence[torch.Tensor | None]]:
        """The labels of a batch, and the gradients of its mean loss."""
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(self.settings.bf16)):
            loss = self.model(**{name: tensor.to(device) for name, tensor in batch.items()})["loss"]
        return num_items(batch), torch.autograd.grad(loss, tensors, allow_unused=True)
