"""Plain fine-tuning of a model, whatever is attached to it."""

import time
from dataclasses import dataclass

from torch import nn

from peftsearch.modules.reparametrisation import fold, reparametrise
from peftsearch.tasks.form import Form
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import EncodedSplit, FormTrainer, KeepBest, Phase


@dataclass(frozen=True)
class Trained:
    """What one training gave.

    Args:
        validation: metrics of the epoch that was kept.
        seconds: wall time, evaluation on the validation split included.
    """

    validation: dict[str, float]
    seconds: float


def fine_tune(
    model: nn.Module,
    *,
    form: Form,
    train: EncodedSplit,
    validation: EncodedSplit,
    metric: str,
    settings: TrainingSettings,
    phase: Phase,
) -> Trained:
    """Train a model in place and leave it with the weights of its best epoch on the validation split.

    Prefixes are trained through a bottleneck, which is folded into them at the end.

    Args:
        metric: name of the metric that selects the epoch; larger is better.

    Raises:
        TrainingError: if the loss stops being a number.
    """
    started = time.perf_counter()
    reparametrise(model)
    trainer = FormTrainer(model, form=form, train=train.encoded, settings=settings, phase=phase)
    keep_best = KeepBest(trainer, validation=validation, metric=metric)
    trainer.add_callback(keep_best)
    trainer.train()
    fold(model)
    return Trained(keep_best.best, time.perf_counter() - started)
