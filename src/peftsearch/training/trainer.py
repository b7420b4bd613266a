"""The trainer of every phase: transformers' Trainer with rates by kind, our evaluation and our log."""

import math
from functools import cached_property, partial
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer
from transformers.integrations import get_reporting_integration_callbacks

from peftsearch import processes, random_draws
from peftsearch.errors import DivergedError
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.allocator import keep_freed_memory
from peftsearch.training.arguments import Phase, training_arguments
from peftsearch.training.batches import length_grouped
from peftsearch.training.callbacks import JsonLog, ShowProgress
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.log_file import LogFile
from peftsearch.training.micro_batches import Batch, MicroBatches, hold_gradients, num_items, without_labels
from peftsearch.training.parameter_groups import RatesByKind
from peftsearch.training.resuming import ResumingTrainer
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.start_check import DidNotStart
from peftsearch.training.trackers import OwnWandbRun, tracker_callbacks


class TaskTrainer(RatesByKind, ResumingTrainer):
    """Train a model on encoded examples; `resume` goes on where an interrupted training of the same phase stopped.

    Args:
        model: with its trainable parameters marked.
        task_format: how the task is put to the model.
        train: encoded examples of the task.
        settings: learning rate, batch size and the like.
        phase: name, folder, seed and length of this training.
    """

    def __init__(
        self, model: nn.Module, *, task_format: TaskFormat, train: Dataset, settings: TrainingSettings, phase: Phase
    ):
        keep_freed_memory()
        log, self._progress = LogFile(phase.folder / "log.jsonl"), ShowProgress(phase.name, phase.counts)
        own_trackers = tracker_callbacks(settings.report_to)
        super().__init__(
            model,
            training_arguments(settings, phase),
            data_collator=task_format.collate,
            train_dataset=train,
            callbacks=[JsonLog(log), self._progress, *own_trackers],
        )
        self.remove_callback(PrinterCallback)
        # No wrapper of torch: `mean_over_processes` sends the few gradients there are, of the modules that there are.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        self.task_format, self.lora_b_rate = task_format, settings.lora_b_rate
        self.watch(
            Checkpoints(phase.folder, settings.save_total_limit),
            every=settings.save_steps,
            sampler=length_grouped(train, self.args.train_batch_size, self.args.seed),
        )
        self.micro_batches = MicroBatches()
        self.stateful_parts |= {"log": log, "micro_batches": self.micro_batches}
        # So that the Trainer counts the labels and leaves the mean to `compute_loss`.
        self.model_accepts_loss_kwargs = True

    def resume(self, *, pause_after: int = 0) -> None:
        try:
            super().resume(pause_after=pause_after)
        except DidNotStart:
            self._end_trackers()
            raise
        finally:
            self._progress.close()

    def _end_trackers(self) -> None:
        """End the trackers' runs, so that the next training gets its own."""
        of_trainer = tuple(get_reporting_integration_callbacks(self.args.report_to))
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, (*of_trainer, OwnWandbRun)):
                callback.on_train_end(self.args, self.state, self.control)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Pass forward and backward over a batch in the passes of its format, or in smaller ones that memory holds.

        Raises:
            TrainingError: if the loss is not finite.
        """
        # In a resumed training too, whatever the others have drawn before.
        random_draws.draw_alike()
        random_draws.draw_apart()
        step = partial(super().training_step, model, num_items_in_batch=num_items_in_batch)
        # Those of the optimizer: to find them in the model takes as long as a percent of a step.
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        first, *rest = (
            loss
            for batch in _as_many_as_others(list(self.task_format.passes(inputs)))
            for loss in self.micro_batches.each(batch, step, undo=hold_gradients(trained))
        )
        loss = mean_over_processes(self, sum(rest, start=first))
        require_finite(loss, self.state.global_step + 1)
        return loss

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """As transformers counts them, which counts the model's parameters again in every pass."""
        main_input = getattr(self.model, "main_input_name", "input_ids")
        return 6 * inputs[main_input].numel() * self._num_parameters if main_input in inputs else 0

    @cached_property
    def _num_parameters(self) -> int:
        count = getattr(self.model, "num_parameters", None)
        return count(exclude_embeddings=True) if count else 0

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        """Denominator of the mean loss of an optimizer step, over all processes."""
        return torch.tensor(processes.total(sum(map(num_items, batch_samples))), device=device)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean loss of a batch, or its share in the mean over all batches of an optimizer step.

        transformers leaves that share to the model, and its classification models leave it out.

        Args:
            model: returns the mean loss of a batch.
            inputs: the batch.
            return_outputs: whether to return the model's outputs too.
            num_items_in_batch: labels that count in all batches of the step; None for the mean of this one.
        """
        outputs = self.task_format.forward(model, inputs)
        # The mean over no label is not a number, and its gradients are zeros.
        loss = self.task_format.mean_loss(outputs, inputs) if num_items(inputs) else outputs["logits"].sum() * 0
        if num_items_in_batch is not None:
            # Processes take the mean of their gradients.
            loss = loss * (processes.num_processes() * num_items(inputs) / num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def _as_many_as_others(batches: list[Batch]) -> list[Batch]:
    """Add batches without labels where another process has more, and each pass needs all of them."""
    return [*batches, *[without_labels(batches[-1])] * processes.missing_passes(len(batches))]


def mean_over_processes(trainer: Trainer, loss: torch.Tensor) -> torch.Tensor:
    """Take the mean of a step's loss over all processes, and of the gradients before the optimizer's step.

    Args:
        trainer: has passed forward and backward, with no wrapper around its model.
        loss: of this process's part of the batch.

    Returns:
        the mean loss.
    """
    loss, optimizer = loss.detach().clone(), cast(torch.optim.Optimizer, trainer.optimizer)
    # Accumulated gradients are sent once. What a gate has switched off has none, in any process.
    groups = optimizer.param_groups if trainer.accelerator.sync_gradients else []
    gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
    processes.average([loss, *gradients])
    return loss


def require_finite(loss: torch.Tensor, step: int) -> None:
    """Stop on a loss that is not a number.

    Raises:
        DivergedError: naming the step, counted from 1.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise DivergedError(
            f"The loss is {value} at step {step}. Lower --training.learning_rate, or check the data and the model."
        )
