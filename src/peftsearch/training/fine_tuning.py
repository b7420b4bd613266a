"""Plain fine-tuning of a model, whatever is attached to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
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
class Trained:
    """What one training gave.

    Args:
        validation: metrics of the epoch that was kept.
        seconds: wall time, evaluation on the validation split and earlier parts of the training included.
        num_micro_batches: pieces that each batch was cut into at the end, since memory did not hold it.
    """

    validation: dict[str, float]
    seconds: float
    num_micro_batches: int = 1


def fine_tune(
    model: nn.Module,
    *,
    task_format: TaskFormat,
    train: EncodedSplit,
    validation: EncodedSplit,
    metric: str,
    settings: TrainingSettings,
    phase: Phase,
    callbacks: Sequence[TrainerCallback] = (),
) -> Trained:
    """Train a model in place and leave it with the weights of its best epoch on the validation split.

    Prefixes are trained through a bottleneck, which is folded into them at the end. A training of the same phase that
    was interrupted goes on from its last checkpoint; whoever has the result on the disk deletes the checkpoints.

    Args:
        metric: name of the metric that selects the epoch; larger is better.
        callbacks: called before the epoch is scored; their state is saved too if they are `Stateful`.

    Raises:
        TrainingError: if the loss stops being a number.
    """
    reparametrise(model)
    trainer = TaskTrainer(model, task_format=task_format, train=train.encoded, settings=settings, phase=phase)
    for callback in callbacks:
        trainer.add_callback(callback)
        if isinstance(callback, Stateful):
            trainer.parts[type(callback).__name__] = callback
    keep_best = KeepBest(
        trainer,
        task_format=task_format,
        validation=validation,
        metric=metric,
        select_after_step=phase.select_after_step,
    )
    trainer.add_callback(keep_best)
    trainer.parts["best"] = keep_best
    trainer.resume()
    fold(model)
    return Trained(keep_best.best, trainer.seconds, trainer.micro_batches.num_micro_batches)
