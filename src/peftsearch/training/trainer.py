"""The trainer of every phase: transformers' Trainer with rates by kind, our evaluation and our log."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from peftsearch.errors import TrainingError
from peftsearch.modules.adapted_layer import PREFIX
from peftsearch.modules.attach import is_attached
from peftsearch.modules.peft_module import KINDS
from peftsearch.tasks.task import Example
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.allocator import keep_freed_memory
from peftsearch.training.checkpoints import Checkpoints
from peftsearch.training.evaluation import evaluate
from peftsearch.training.log_file import LogFile
from peftsearch.training.micro_batches import MicroBatches, hold_gradients, num_items
from peftsearch.training.progress import Progress, open_progress
from peftsearch.training.pytree import PyTree
from peftsearch.training.resuming import ResumingTrainer
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trackers import tracker_callbacks

# Multiple of the learning rate for the backbone's own weights in full fine-tuning.
BACKBONE_SCALE = 0.05
_KIND = re.compile(rf"\.{PREFIX}([^.]+)\.")


@dataclass(frozen=True)
class EncodedSplit:
    """Examples and how a form encoded them, in the same order."""

    examples: tuple[Example, ...]
    encoded: Dataset


@dataclass(frozen=True)
class Phase:
    """What distinguishes one training from another.

    Args:
        name: shown beside its progress.
        folder: where the log goes.
        seed: of batches, dropout and sampling.
        max_steps: optimizer steps; 0 follows the settings' epochs.
        select_after_step: optimizer steps before which no epoch's weights may be kept.
        run: what trackers show before the name, to tell the runs of a project apart.
    """

    name: str
    folder: Path
    seed: int
    max_steps: int = 0
    select_after_step: int = 0
    run: str = ""


def training_arguments(settings: TrainingSettings, phase: Phase) -> TrainingArguments:
    """Our settings in the words of transformers; nothing is saved by the Trainer itself, whose files are pickled."""
    return TrainingArguments(
        output_dir=str(phase.folder),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.num_train_epochs,
        max_steps=phase.max_steps or -1,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        per_device_eval_batch_size=settings.per_device_eval_batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=uses_bf16(settings.bf16),
        gradient_checkpointing=settings.gradient_checkpointing,
        report_to=settings.report_to,
        run_name=f"{phase.run}: {phase.name}" if phase.run else phase.name,
        seed=phase.seed,
        data_seed=phase.seed,
        save_strategy="no",
        eval_strategy="no",
        logging_steps=10,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def uses_bf16(setting: str) -> bool:
    """Whether to train in bfloat16: "auto" where a GPU has it natively."""
    if setting == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return setting == "true"


class RatesByKind(Trainer):
    """A Trainer whose optimizer has one group for each kind of module, at its multiple of the learning rate."""

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer of the arguments, over groups by kind."""
        if self.optimizer is None:
            model = self.model if model is None else model
            optimizer_class, options = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(
                self.args, model
            )
            groups = parameter_groups(model, self.args.learning_rate)
            decayed = [group | {"weight_decay": self.args.weight_decay} for group in groups]
            self.optimizer = optimizer_class(decayed, **options)
        return self.optimizer


class TaskTrainer(RatesByKind, ResumingTrainer):
    """Train a model on encoded examples; `resume` goes on where an interrupted training of the same phase stopped.

    Args:
        model: with its trainable parameters marked.
        task_format: how the task is put to the model.
        train: what is trained on.
        settings: how.
        phase: which training this is.
    """

    def __init__(
        self, model: nn.Module, *, task_format: TaskFormat, train: Dataset, settings: TrainingSettings, phase: Phase
    ):
        keep_freed_memory()
        log = LogFile(phase.folder / "log.jsonl")
        super().__init__(
            model,
            training_arguments(settings, phase),
            data_collator=task_format.collate,
            train_dataset=train,
            callbacks=[JsonLog(log), ShowProgress(phase.name), *tracker_callbacks(settings.report_to)],
        )
        self.remove_callback(PrinterCallback)
        self.task_format = task_format
        self.watch(
            Checkpoints(phase.folder, settings.save_total_limit),
            every=settings.save_steps,
            sampler=length_grouped(train, self.args.train_batch_size, self.args.seed),
        )
        self.micro_batches = MicroBatches()
        self.parts |= {"log": log, "micro_batches": self.micro_batches}
        # So that the Trainer counts the labels and leaves the mean to `compute_loss`.
        self.model_accepts_loss_kwargs = True

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One forward and backward pass, or one for each piece of the batch where memory does not hold all of it.

        Raises:
            TrainingError: if the loss is not finite.
        """
        step = partial(super().training_step, model, num_items_in_batch=num_items_in_batch)
        # Those of the optimizer: to find them in the model takes as long as a percent of a step.
        undo = hold_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        loss = sum(self.micro_batches.each(inputs, step, undo=undo))
        require_finite(loss, self.state.global_step + 1)
        return loss

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> torch.Tensor:
        """What the loss of an optimizer step is the mean of, over all processes."""
        items = torch.tensor(sum(map(num_items, batch_samples)), device=device)
        return self.accelerator.gather(items).sum() if self.accelerator.num_processes > 1 else items

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean loss of a batch, or its share in the mean over all batches of an optimizer step.

        transformers leaves that share to the model, and its classification models leave it out.

        Args:
            num_items_in_batch: labels that count in all batches of the step; None for the mean of this one.
        """
        outputs = model(**inputs)
        loss = outputs["loss"]
        if num_items_in_batch is not None:
            # Processes take the mean of their gradients.
            loss = loss * (self.accelerator.num_processes * num_items(inputs) / num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def require_finite(loss: torch.Tensor, step: int) -> None:
    """Stop on a loss that is not a number.

    Raises:
        TrainingError: naming the step, counted from 1.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"The loss is {value} at step {step}. Lower --training.learning_rate, or check the data and the model."
        )


def length_grouped(dataset: Dataset, batch_size: int, seed: int) -> LengthGroupedSampler:
    """Shuffle so that examples of like length share a batch: short texts are not padded to the longest."""
    lengths = [dataset[i]["length"] for i in range(len(dataset))]
    return LengthGroupedSampler(batch_size, lengths=lengths, generator=torch.Generator().manual_seed(seed))


def parameter_groups(model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Trainable parameters by kind; the task head and a fully trained backbone are groups of their own."""
    groups: dict[str, list[nn.Parameter]] = defaultdict(list)
    is_adapted = any(is_attached(name) or "modules_to_save" in name for name, _ in model.named_parameters())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_kind_of(name) or ("head" if is_adapted else "backbone")].append(parameter)
    scales = {"head": 1.0, "backbone": BACKBONE_SCALE}
    return [
        {
            "params": parameters,
            "lr": learning_rate * (scales[name] if name in scales else KINDS[name].learning_rate_scale),
            "name": name,
        }
        for name, parameters in sorted(groups.items())
    ]


def _kind_of(name: str) -> str | None:
    """The kind whose rate a parameter is trained at; peft's own LoRA methods have LoRA's."""
    match = _KIND.search(name)
    return match[1] if match else "lora" if is_attached(name) else None


class JsonLog(TrainerCallback):
    """Append every log entry to a file of JSON lines."""

    def __init__(self, file: LogFile):
        self.file = file

    def on_train_begin(self, args, state, control, **_) -> None:
        if state.global_step == 0:
            self.file.clear()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        self.file.append({"step": state.global_step, "epoch": state.epoch, **(logs or {})})


class ShowProgress(TrainerCallback):
    """The numbers of a training that matter, while it runs."""

    def __init__(self, name: str):
        self.name = name
        self.progress: Progress | None = None

    def on_train_begin(self, args, state, control, **_) -> None:
        self.progress = open_progress(self.name, unit="step", total=state.max_steps, done=state.global_step)

    def on_step_end(self, args, state, control, **_) -> None:
        self.progress.update()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        if self.progress is not None:
            self.progress.show(numbers_of(logs or {}))

    def on_train_end(self, args, state, control, **_) -> None:
        self.progress.close()


def numbers_of(row: Mapping[str, Any]) -> dict[str, str]:
    """What a progress line shows of a row of the log; the size of a search stands against its budget."""
    shown = {}
    if "stage" in row:
        shown["stage"] = row["stage"]
    if "loss" in row or "loss_weights" in row:
        shown["loss"] = f"{row.get('loss', row.get('loss_weights')):.4g}"
    if "expected_parameters" in row and "budget_parameters" in row:
        shown["size"] = f"{row['expected_parameters']:,.0f}/{row['budget_parameters']:,}"
    shown |= {word: str(row[name]) for name, word in _COUNTS.items() if name in row}
    return shown | {name: f"{value:.4g}" for name, value in row.items() if name.startswith("validation_")}


_COUNTS = {"live_modules": "modules", "triggers": "triggers"}


class KeepBest(TrainerCallback):
    """Evaluate after every epoch and put the best weights back at the end; of equal scores the later wins.

    Args:
        validation: what the score is computed on.
        metric: name of the metric that selects, larger is better.
        select_after_step: optimizer steps before which no weights are kept, for methods that still change the
            model's size.
    """

    def __init__(self, trainer: TaskTrainer, *, validation: EncodedSplit, metric: str, select_after_step: int = 0):
        self.trainer, self.validation, self.metric, self.select_after_step = (
            trainer,
            validation,
            metric,
            select_after_step,
        )
        self.best: dict[str, float] | None = None
        self._weights: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, args, state, control, model=None, **_) -> None:
        found = evaluate(
            model,
            self.trainer.task_format,
            self.validation.examples,
            self.validation.encoded,
            batch_size=args.per_device_eval_batch_size,
        )
        self.trainer.log({f"validation_{name}": value for name, value in found.items()})
        if state.global_step < self.select_after_step:
            return
        if self.best is None or not found[self.metric] < self.best[self.metric]:
            self.best = found
            self._weights = {
                n: p.detach().to("cpu", copy=True) for n, p in model.named_parameters() if p.requires_grad
            }

    def state_dict(self) -> PyTree:
        """Score and weights of the best epoch so far."""
        return {"best": self.best, "weights": self._weights}

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with an earlier best epoch."""
        self.best, self._weights = state["best"], state["weights"]

    def on_train_end(self, args, state, control, model=None, **_) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self._weights:
                    parameter.copy_(self._weights[name])
