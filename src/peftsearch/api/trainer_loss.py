"""The loss of a user's Trainer on examples of its training set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import AutocastKwargs
from transformers import Trainer

from peftsearch.training.mean_gradients import ExampleLoss
from peftsearch.training.micro_batches import Batch, num_items


@dataclass(frozen=True)
class TrainerLoss(ExampleLoss):
    """What `compute_loss` says of batches that the Trainer's collator makes, with its columns removed.

    Args:
        trainer: its training set has a length.
    """

    trainer: Trainer

    def batches(self, rows: Sequence[int]) -> list[Batch]:
        trainer, data = self.trainer, self.trainer.train_dataset
        size = trainer.args.per_device_train_batch_size
        collate = trainer._get_collator_with_removed_columns(trainer.data_collator, "search")
        any_data: Any = data  # a dataset of torch has no type of its rows
        return [collate([any_data[i] for i in rows[k : k + size]]) for k in range(0, len(rows), size)]

    def num_items(self, batch: Batch) -> int:
        """Labels that count, as the Trainer counts them: a language model predicts no first token."""
        if self.trainer._loss_shifts_labels and "labels" in batch:
            return num_items({"labels": batch["labels"][..., 1:]})
        return num_items(batch)

    def mean(self, batch: Batch) -> torch.Tensor:
        trainer: Any = self.trainer  # typed for models that are wrapped, or not there yet
        # In float16 small gradients are 0 without the scaler of a training.
        autocast = AutocastKwargs(enabled=trainer.accelerator.mixed_precision != "fp16")
        with trainer.accelerator.autocast(autocast), trainer.compute_loss_context_manager():
            return trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch))
