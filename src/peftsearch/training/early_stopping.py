"""Stop a training whose validation score does not improve any more."""

from dataclasses import dataclass

from transformers import TrainerCallback

from peftsearch.training.callbacks import KeepBest
from peftsearch.training.start_check import check_step


@dataclass(frozen=True)
class StoppedEarly:
    """Where a training stopped.

    Args:
        epoch: after which it stopped.
        epochs: that were planned.
        patience: epochs without a better score before that.
    """

    epoch: float
    epochs: float
    patience: int

    @property
    def text(self) -> str:
        """The place in a few words."""
        return f"after {self.epoch:g} of {self.epochs:g} epochs"


class StopEarly(TrainerCallback):
    """Stop after so many epochs without a better validation score than the best before them.

    It waits until a training that does not start would have been noticed, after a fifth of the steps. Learning rates
    stay on the schedule of all epochs. transformers' `EarlyStoppingCallback` counts evaluations by the Trainer's own
    loop and checkpoints; here `KeepBest` evaluates, and its state is in ours.

    Args:
        best: counts the epochs; its callback comes before this one.
        patience: epochs, at least 1.
    """

    def __init__(self, best: KeepBest, patience: int):
        self.best, self.patience = best, patience
        self.stopped: StoppedEarly | None = None

    def on_epoch_end(self, args, state, control, **_) -> None:
        may_stop = check_step(state.max_steps) <= state.global_step < state.max_steps
        if may_stop and self.best.epochs_without_gain >= self.patience:
            control.should_training_stop = True
            self.stopped = StoppedEarly(round(state.epoch, 4), args.num_train_epochs, self.patience)
