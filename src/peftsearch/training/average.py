"""The average of the weights of a training's last steps."""

import torch
from torch import nn
from transformers import TrainerCallback

from peftsearch.training.callbacks import KeepBest
from peftsearch.training.pytree import PyTree


class AverageLast(TrainerCallback):
    """Average the trained weights over the last steps, and let the average stand against the best epoch at the end.

    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", algorithm 1.
    Ours: over every step of the falling schedule's end, with no cycles.

    Args:
        share: of the steps at the end that are averaged, above 0 and below 1.
        best: scores the average and keeps it if no epoch was better.
    """

    def __init__(self, share: float, best: KeepBest):
        self.share, self.best = share, best
        self._count, self._mean = 0, {}

    def on_step_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        # Before `select_after_step` a method may still change which weights there are.
        if state.global_step <= max((1 - self.share) * state.max_steps, self.best.select_after_step):
            return
        self._count += 1
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                mean = self._mean.setdefault(name, torch.zeros_like(parameter, device="cpu"))
                mean += (parameter.detach().cpu() - mean) / self._count

    def on_epoch_end(self, args, state, control, *, model: nn.Module, **_) -> None:
        if state.global_step < state.max_steps:
            return
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self._mean:
                    parameter.copy_(self._mean[name])
        self.best.on_epoch_end(args, state, control, model=model)

    def state_dict(self) -> PyTree:
        """The average so far."""
        return {"count": self._count, "mean": self._mean}

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with an earlier average."""
        self._count, self._mean = state["count"], state["mean"]
