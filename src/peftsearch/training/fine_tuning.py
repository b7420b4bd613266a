"""Plain fine-tuning of a model, whatever is attached to it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn
from torch.utils.data import Dataset
from transformers import TrainerCallback

from peftsearch.modules.reparametrisation import fold, reparametrise
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.arguments import Phase
from peftsearch.training.callbacks import KeepBest
from peftsearch.training.resuming import Stateful
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import TaskTrainer


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of one training, as written to `trained.json`.

    Args:
        seed: of the batches; in a run also of the head and the modules.
        learning_rate: LoRA's.
        validation: metrics of the kept epoch, in percent.
        seconds: wall time, evaluation on the validation split and the time before interruptions included.
        num_micro_batches: micro-batches in a batch at the end; above 1 where memory did not hold a whole batch.
    """

    seed: int
    learning_rate: float
    validation: dict[str, float]
    seconds: float
    num_micro_batches: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, where the micro-batches are called `num_pieces`."""
        document = asdict(self)
        return document | {"num_pieces": document.pop("num_micro_batches")}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "TrainingResult":
        """Read what `to_dict` wrote."""
        document = dict(document)
        return cls(num_micro_batches=document.pop("num_pieces", 1), **document)


def fine_tune(
    model: nn.Module,
    *,
    task_format: TaskFormat,
    train: Dataset,
    validation: EncodedSplit,
    metric: str,
    settings: TrainingSettings,
    phase: Phase,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainingResult:
    """Train a model in place and leave it with the weights of its best epoch on the validation split.

    Prefixes are trained through a bottleneck, which is folded into them at the end. A training of the same phase that
    was interrupted goes on from its last checkpoint. The caller deletes the checkpoints once the result is saved.

    Args:
        model: with its trainable parameters marked.
        task_format: how the task is put to the model.
        train: encoded examples of the task.
        validation: examples that select the epoch.
        metric: name of the metric that selects the epoch; larger is better.
        settings: rate, epochs and batches.
        phase: name, folder and seed of the training.
        callbacks: called before the epoch is scored; their state is saved too if they are `Stateful`.

    Raises:
        TrainingError: if the loss stops being a number.
    """
    reparametrise(model)
    trainer = TaskTrainer(model, task_format=task_format, train=train, settings=settings, phase=phase)
    for callback in callbacks:
        trainer.add_callback(callback)
        if isinstance(callback, Stateful):
            trainer.stateful_parts[type(callback).__name__] = callback
    keep_best = KeepBest(
        trainer,
        task_format=task_format,
        validation=validation,
        metric=metric,
        select_after_step=phase.select_after_step,
    )
    trainer.add_callback(keep_best)
    trainer.stateful_parts["best"] = keep_best
    trainer.resume()
    fold(model)
    assert keep_best.best is not None  # a training has at least one epoch's end
    return TrainingResult(
        seed=phase.seed,
        learning_rate=settings.learning_rate,
        validation=keep_best.best,
        seconds=trainer.seconds,
        num_micro_batches=trainer.micro_batches.num_micro_batches,
    )
