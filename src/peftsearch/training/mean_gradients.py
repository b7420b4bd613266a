"""Mean gradients of the training loss over a few examples, without an optimizer."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any, Protocol

import torch
from peft import PeftModel

from peftsearch import processes
from peftsearch.errors import TrainingError
from peftsearch.training.micro_batches import Batch, MicroBatches
from peftsearch.training.progress import Progress, open_progress


class ExampleLoss(Protocol):
    """The loss of a model on training examples."""

    def batches(self, rows: Sequence[int]) -> list[Batch]:
        """Make batches of the examples at these indices."""
        ...

    def num_items(self, batch: Batch) -> int:
        """Denominator of the mean loss of a batch: labels that count, or examples."""
        ...

    def mean(self, batch: Batch) -> torch.Tensor:
        """Compute the mean loss of a batch."""
        ...


class MeanGradients:
    """Gradients of a loss, averaged over each of several parts of some examples.

    Args:
        loss: of the model that has the tensors.
        parts: indices of disjoint examples.
    """

    def __init__(self, loss: ExampleLoss, parts: Sequence[Sequence[int]]):
        self.loss, self.parts = loss, parts
        self._micro_batches = MicroBatches()

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
        """Differentiate by some tensors of the model.

        Args:
            tensors: require gradients; one that the loss does not depend on has zeros.

        Returns:
            for each part, the gradient of each tensor.

        Raises:
            TrainingError: if a gradient is not finite.
        """
        total = sum(len(processes.own_slice(part)) for part in self.parts)
        with closing(open_progress("gradients", unit="example", total=total)) as progress:
            found = [self._of_part(part, tensors, progress) for part in self.parts]
        if not all(bool(torch.isfinite(gradient).all()) for part in found for gradient in part):
            raise TrainingError("A gradient at the start of the search is not finite. Check the data and the model.")
        return found

    def _of_part(self, part: Sequence[int], tensors: Sequence[torch.Tensor], progress: Progress) -> list[torch.Tensor]:
        own_rows = processes.own_slice(part)
        batches = self.loss.batches(own_rows)
        items = processes.total(sum(map(self.loss.num_items, batches)))
        # Of the passes after its own nothing counts.
        missing = processes.missing_passes(len(batches))
        total = [torch.zeros_like(tensor) for tensor in tensors]
        for number, batch in enumerate(batches):
            passes = self._micro_batches.each(batch, partial(self._differentiate, tensors), undo=lambda: None)
            for own, gradients in passes:
                for sum_so_far, gradient in zip(total, gradients, strict=True):
                    if gradient is not None:
                        sum_so_far.add_(gradient, alpha=own / items)
            before, after = (len(own_rows) * i // len(batches) for i in (number, number + 1))
            progress.update(after - before)
        for _ in range(missing):
            self._differentiate(tensors, self.loss.batches(part[:1])[0])
        processes.add_up(total)
        return total

    def _differentiate(
        self, tensors: Sequence[torch.Tensor], batch: Batch
    ) -> tuple[int, Sequence[torch.Tensor | None]]:
        """The labels of a batch, and the gradients of its mean loss."""
        items = self.loss.num_items(batch)
        gradients = torch.autograd.grad(self.loss.mean(batch), tensors, allow_unused=True)
        # The mean loss of a batch in which no label counts is not a number.
        return items, gradients if items else [None] * len(tensors)


def without_dropout(model: PeftModel, *, gradient_checkpointing: bool) -> None:
    """Switch dropout off, unless gradients are checkpointed, which transformers only does while it trains.

    Args:
        model: whose gradients are taken.
        gradient_checkpointing: of the training.
    """
    model.train(gradient_checkpointing)
    if gradient_checkpointing:
        any_model: Any = model
        any_model.activation_checkpointing_enable()
