"""Plain fine-tuning of a model, whatever is attached to it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback

from peftsearch.errors import DivergedError
from peftsearch.modules.reparametrisation import fold, reparametrise
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.arguments import Phase
from peftsearch.training.average import AverageLast, AverageUntil
from peftsearch.training.callbacks import KeepBest
from peftsearch.training.early_stopping import StopEarly, StoppedEarly
from peftsearch.training.evaluation import losses
from peftsearch.training.resuming import Stateful
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.start_check import FailedStart
from peftsearch.training.trainer import TaskTrainer


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of one training, as written to `trained.json`.

    Args:
        seed: of the batches; in a run also of the head and the modules.
        learning_rate: LoRA's.
        validation: metrics of the kept epoch, in percent or in the unit of the labels.
        seconds: wall time, evaluation on the validation split and the time before interruptions included.
        num_micro_batches: micro-batches in a batch at the end; above 1 where memory did not hold a whole batch.
        validation_loss: mean loss on the validation split of the kept epoch; None where it was not computed.
        beats_guessing: whether that loss is lower than that of guessing beyond noise; None where it is not known.
        failed_start: of a first start at another rate; None if there was none.
        stopped_early: where it stopped since validation did not improve; None if it went to its end.
    """

    seed: int
    learning_rate: float
    validation: dict[str, float]
    seconds: float
    num_micro_batches: int = 1
    validation_loss: float | None = None
    beats_guessing: bool | None = None
    failed_start: FailedStart | None = None
    stopped_early: StoppedEarly | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where the micro-batches are called `num_pieces`."""
        document = asdict(self)
        return document | {"num_pieces": document.pop("num_micro_batches")}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "TrainingResult":
        """Read what `to_dict` wrote."""
        document = dict(document)
        failed, stopped = document.pop("failed_start", None), document.pop("stopped_early", None)
        return cls(
            num_micro_batches=document.pop("num_pieces", 1),
            failed_start=FailedStart(**failed) if failed else None,
            stopped_early=StoppedEarly(**stopped) if stopped else None,
            **document,
        )


class FineTuning:
    """A training of a model in place, on the weights that are marked as trainable.

    Prefixes are trained through a bottleneck, which is folded into them at the end. A training of the same phase that
    was interrupted goes on from its last checkpoint. The caller deletes the checkpoints once the result is saved.

    Args:
        model: with its trainable parameters marked.
        task_format: how the task is put to the model.
        train: encoded examples of the task.
        validation: examples that select the epoch.
        metric: name of the metric that selects the epoch.
        settings: rate, epochs and batches.
        phase: name, folder and seed of the training.
        callbacks: called before the epoch is scored; their state is saved too if they are `Stateful`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        task_format: TaskFormat,
        train: Dataset,
        validation: EncodedSplit,
        metric: str,
        settings: TrainingSettings,
        phase: Phase,
        callbacks: Sequence[TrainerCallback] = (),
    ):
        reparametrise(model)
        self.model, self.validation, self.settings, self.phase = model, validation, settings, phase
        self.trainer = TaskTrainer(model, task_format=task_format, train=train, settings=settings, phase=phase)
        self._best = KeepBest(
            self.trainer,
            task_format=task_format,
            validation=validation,
            metric=metric,
            select_after_step=phase.select_after_step,
        )
        for callback in callbacks:
            self.trainer.add_callback(callback)
            if isinstance(callback, Stateful):
                self.trainer.stateful_parts[type(callback).__name__] = callback
        self.trainer.add_callback(self._best)
        self.trainer.stateful_parts["best"] = self._best
        if settings.average_last:
            average = AverageLast(settings.average_last, self._best)
            self.trainer.add_callback(average)
            self.trainer.stateful_parts["average"] = average

    def run(self) -> TrainingResult:
        """Train to the end, and leave the model with the weights of its best epoch on the validation split.

        With `early_stopping` the end comes after so many epochs without a better score.

        Raises:
            TrainingError: if the loss stops being a number.
        """
        stop = StopEarly(self._best, self.settings.early_stopping)
        if self.settings.early_stopping:
            self.trainer.add_callback(stop)
        self.trainer.resume()
        fold(self.model)
        assert self._best.best is not None  # a training has at least one epoch's end
        return TrainingResult(
            seed=self.phase.seed,
            learning_rate=self.settings.rate,
            validation=self._best.best,
            seconds=self.trainer.seconds,
            num_micro_batches=self.trainer.micro_batches.num_micro_batches,
            stopped_early=stop.stopped,
        )

    def run_until(self, step: int, *, judged_on: EncodedSplit) -> list[float]:
        """Train up to a step of the whole schedule, from where another object of the same phase goes on.

        It comes to that step whatever `early_stopping` says, so that trainings are compared at equal steps.

        Args:
            step: optimizer steps, fewer than those of the whole training.
            judged_on: examples whose losses are returned.

        Returns:
            the loss of every such example with the weights averaged over the later half of the
            steps so far: those of the step itself jump about with the rate, which falls only later.

        Raises:
            TrainingError: if the loss stops being a number, in the training or on these examples.
        """
        average = AverageUntil(step)
        self.trainer.add_callback(average)
        self.trainer.stateful_parts["round"] = average
        self.trainer.resume(pause_after=step)
        average.mean.put_into(self.model)
        found = self._losses(judged_on)
        if not math.isfinite(fmean(found)):
            raise DivergedError(f"{self.phase.name}: the validation loss after {step:,} steps is {fmean(found)}.")
        return found

    def validation_losses(self) -> list[float]:
        """Loss of every example of the validation split with the present weights."""
        return self._losses(self.validation)

    def _losses(self, split: EncodedSplit) -> list[float]:
        batch_size = self.settings.per_device_eval_batch_size
        return losses(self.model, self.trainer.task_format, split.encoded, batch_size=batch_size)
