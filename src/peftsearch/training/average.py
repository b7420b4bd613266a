"""Averages of the weights of consecutive steps: of a training's last ones, and of those that judge a learning rate.

Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm 1. Ours:
over every step, with no cycles.
"""

import torch
from torch import nn
from transformers import TrainerCallback

from peftsearch.training.callbacks import KeepBest
from peftsearch.training.pytree import PyTree


class RunningMean:
    """The mean of a model's trained weights over the times that they were added."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: dict[str, torch.Tensor] = {}

    def add(self, model: nn.Module) -> None:
        """Add the present weights."""
        self._count += 1
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                mean = self._mean.setdefault(name, torch.zeros_like(parameter, device="cpu"))
                mean += (parameter.detach().cpu() - mean) / self._count

    @torch.no_grad()
    def put_into(self, model: nn.Module) -> None:
        """Replace the weights by their mean."""
        for name, parameter in model.named_parameters():
            if name in self._mean:
                parameter.copy_(self._mean[name])

    def state_dict(self) -> PyTree:
        """The mean so far."""
        return {"count": self._count, "mean": self._mean}

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with an earlier mean."""
        self._count, self._mean = state["count"], state["mean"]


class AverageLast(TrainerCallback):
    """Average the weights of the last steps, and let the average stand against the best epoch at the end.

    Args:
        share: of the steps at the end that are averaged, above 0 and below 1.
        best: scores the average and keeps it if no epoch was better.
    """

    def __init__(self, share: float, best: KeepBest):
        self.share, self.best, self.mean = share, best, RunningMean()

    def on_step_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        # Before `select_after_step` a method may still change which weights there are.
        if state.global_step > max((1 - self.share) * state.max_steps, self.best.select_after_step):
            self.mean.add(model)

    def on_epoch_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        if state.global_step == state.max_steps:
            self.mean.put_into(model)
            self.best.on_epoch_end(args, state, control, model=model)

    def state_dict(self) -> PyTree:
        """The mean so far."""
        return self.mean.state_dict()

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with an earlier mean."""
        self.mean.load_state_dict(state)


class AverageUntil(TrainerCallback):
    """Average the weights of the later half of the steps up to one at which a training pauses.

    Args:
        end: that step.
    """

    def __init__(self, end: int):
        self.end, self.mean = end, RunningMean()

    def on_step_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        if self.end // 2 < state.global_step <= self.end:
            self.mean.add(model)

    def state_dict(self) -> PyTree:
        """The mean so far, and the step that it is for."""
        return {"end": self.end, "mean": self.mean.state_dict()}

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with an earlier mean; one of an earlier pause is over."""
        if state["end"] == self.end:
            self.mean.load_state_dict(state["mean"])
