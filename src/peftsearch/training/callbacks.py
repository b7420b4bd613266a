"""Callbacks of a training: its log, its progress line, and its best epoch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback

from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.evaluation import evaluate_for
from peftsearch.training.log_file import LogFile
from peftsearch.training.progress import Progress, open_progress
from peftsearch.training.pytree import PyTree


class JsonLog(TrainerCallback):
    """Append every log entry to a file of JSON lines.

    Args:
        file: is cleared when a training starts from step 0.
    """

    def __init__(self, file: LogFile):
        self.file = file

    def on_train_begin(self, args, state, control, **_) -> None:
        if state.global_step == 0:
            self.file.clear()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        self.file.append({"step": state.global_step, "epoch": state.epoch, **(logs or {})})


class ShowProgress(TrainerCallback):
    """Show the progress of a training and its most important numbers.

    Args:
        name: of the training, in front of the line.
        counts: name in the log's rows -> word beside its number, for counts such as those of a search.
    """

    def __init__(self, name: str, counts: Mapping[str, str] | None = None):
        self.name, self.counts = name, counts or {}
        self.progress: Progress | None = None

    def on_train_begin(self, args, state, control, **_) -> None:
        self.progress = open_progress(self.name, unit="step", total=state.max_steps, done=state.global_step)

    def on_step_end(self, args, state, control, **_) -> None:
        if self.progress is not None:
            self.progress.update()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        if self.progress is not None:
            self.progress.show(numbers_of(logs or {}, self.counts))

    def on_train_end(self, args, state, control, **_) -> None:
        self.close()

    def close(self) -> None:
        """End the line, also of a training that did not come to its end."""
        if self.progress is not None:
            self.progress.close()
            self.progress = None


def numbers_of(row: Mapping[str, Any], counts: Mapping[str, str]) -> dict[str, str]:
    """Pick the numbers of a log row that a progress line shows.

    Args:
        row: of the log.
        counts: as in `ShowProgress`.

    Returns:
        word -> number as text; the size of a search as "size/budget".
    """
    shown = {}
    if "stage" in row:
        shown["stage"] = row["stage"]
    if "loss" in row or "loss_weights" in row:
        shown["loss"] = f"{row.get('loss', row.get('loss_weights')):.4g}"
    if "expected_parameters" in row and "budget_parameters" in row:
        shown["size"] = f"{row['expected_parameters']:,.0f}/{row['budget_parameters']:,}"
    shown |= {word: str(row[name]) for name, word in counts.items() if name in row}
    return shown | {name: f"{value:.4g}" for name, value in row.items() if name.startswith("validation_")}


class KeepBest(TrainerCallback):
    """Evaluate after every epoch and put the best weights back at the end; of equal scores the later wins.

    `epochs_without_gain` counts the epochs since the last one that scored better than all before it.

    Args:
        trainer: logs the score.
        task_format: how the task is put to the model.
        validation: examples that the score is computed on.
        metric: name of the metric that selects.
        select_after_step: optimizer steps before which no weights are kept, for methods that still change the
            model's size.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        task_format: TaskFormat,
        validation: EncodedSplit,
        metric: str,
        select_after_step: int = 0,
    ):
        self.trainer, self.task_format, self.validation = trainer, task_format, validation
        self.metric, self.select_after_step = metric, select_after_step
        self.best: dict[str, float] | None = None
        self.epochs_without_gain = 0
        self._weights: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        batch_size = args.per_device_eval_batch_size
        found = evaluate_for(self.metric, model, self.task_format, self.validation, batch_size=batch_size).metrics
        self.trainer.log({f"validation_{name}": value for name, value in found.items()})
        if state.global_step < self.select_after_step:
            return
        metric, before = METRICS[self.metric], self.best
        is_gain = before is None or metric.is_better(found[self.metric], than=before[self.metric])
        self.epochs_without_gain = 0 if is_gain else self.epochs_without_gain + 1
        if before is None or not metric.is_better(before[self.metric], than=found[self.metric]):
            self.best = found
            self._weights = {
                n: p.detach().to("cpu", copy=True) for n, p in model.named_parameters() if p.requires_grad
            }

    def state_dict(self) -> PyTree:
        """Score and weights of the best epoch so far, and how long ago the last gain was."""
        return {"best": self.best, "weights": self._weights, "epochs_without_gain": self.epochs_without_gain}

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with an earlier best epoch."""
        self.best, self._weights = state["best"], state["weights"]
        # Checkpoints of earlier versions have no count, and no training of theirs stops early.
        self.epochs_without_gain = state.get("epochs_without_gain", 0)

    def on_train_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self._weights:
                    parameter.copy_(self._weights[name])
