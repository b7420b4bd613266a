"""PrunePEFT: train everything once, prune what the loss depends on least.

Source: Lawton et al. 2023, "Neural Architecture Search for Parameter-Efficient Fine-tuning of Large Pre-trained
Language Models" (arXiv 2305.16597), for which no code is public; docs/prunepeft.md gives our reading of it.
"""

from collections.abc import Sequence
from typing import Any

import torch

from peftsearch.methods.prunepeft.rules import (
    SCORES,
    STRUCTURES,
    ComponentAxes,
    component_axes,
    find_switches,
    order_units,
    skip_held,
)
from peftsearch.methods.prunepeft.settings import PrunePeftSettings
from peftsearch.modules.peft_module import PeftModule
from peftsearch.searches.gate_strategy import GateStrategy, Observation
from peftsearch.space import Configuration, Placement, SearchSpace
from peftsearch.space.repair import EMPTY
from peftsearch.supernet.sensitivity import Saliency
from peftsearch.supernet.supernet import Gates, Supernet
from peftsearch.training.pytree import PyTree


class PrunePeft(GateStrategy):
    """PrunePEFT's search: sum up saliencies over one training, then keep the units with the largest sums.

    Args:
        space: the search space.
        budgets: budgets in parameters; one training serves all of them.
        settings: the method's settings.
        planned_steps: not used; the training always runs to its end.
    """

    split = "all"

    def __init__(self, space: SearchSpace, *, budgets: Sequence[int], settings: PrunePeftSettings, planned_steps: int):
        self.space, self.settings = space, settings
        self.budgets = sorted(set(budgets))
        self._axes: dict[Placement, ComponentAxes] = {}
        self._switches: list[bool] = []  # whether each tensor of the modules starts at zero
        self._sums: Saliency = []  # over the steps, for each tensor of the modules
        self._num_steps = 0

    def prepare(self, supernet: Supernet) -> None:
        """Find the components and switches of every module, and start its zero tensors of components as set."""
        modules = {placement: supernet.module(placement) for placement in supernet.live}
        self._axes = {placement: component_axes(module) for placement, module in modules.items()}
        self._switches = [is_switch for module in modules.values() for is_switch in find_switches(module)]
        for module in modules.values():
            start_off_zero(module, self.settings.initial_scale)

    def has_architecture_step(self, step: int) -> bool:
        return False

    def weight_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        return {}

    @torch.no_grad()
    def observe(self, step: int, observation: Observation) -> list[Placement]:
        saliency = SCORES[self.settings.score](observation.weight_saliency, self._switches)
        if self._sums:
            # Sums out of a checkpoint are on the CPU.
            self._sums = [total.to(new.device) for total, new in zip(self._sums, saliency, strict=True)]
            torch._foreach_add_(self._sums, saliency)
        else:
            self._sums = list(saliency)
        self._num_steps += 1
        return []

    def finished(self) -> bool:
        return False

    def status(self, step: int) -> dict[str, Any]:
        return {"live_modules": len(self._axes), "scored_steps": self._num_steps}

    def importances(self) -> dict[Placement, float]:
        return {placement: max(scores) for placement, scores in self.unit_scores().items()}

    def state_dict(self) -> PyTree:
        return {"sums": self._sums, "steps": self._num_steps}

    def load_state_dict(self, state: PyTree) -> None:
        self._sums, self._num_steps = state["sums"], state["steps"]

    def results(self) -> dict[int, Configuration]:
        """Drop the lowest units until the rest fits, then give what is left to the highest that still fit."""
        ordered = order_units(self.unit_scores())
        results: dict[int, Configuration] = {}
        core = EMPTY
        for budget in self.budgets:
            core = results[budget] = self.space.fill(core, ordered=skip_held(core, ordered), budget=budget)
        return results

    def unit_scores(self) -> dict[Placement, list[float]]:
        """Score the units of every module; a larger score means that the loss depends more on the unit."""
        rest = iter(self._sums)
        score = STRUCTURES[self.settings.structure]
        return {p: score([next(rest) for _ in axes], axes) for p, axes in self._axes.items()}

    def notes(self) -> list[str]:
        if any(score != 0 for scores in self.unit_scores().values() for score in scores):
            return []
        return ["Every module scored 0, so the choice says nothing: the loss did not depend on any of them."]


@torch.no_grad()
def start_off_zero(module: PeftModule, scale: float) -> None:
    """Draw from N(0, scale^2) the tensors of components that are zero, which leave others without a gradient.

    Args:
        module: is changed in place.
        scale: standard deviation, at least 0.
    """
    for name in module.rank_axes:
        tensor = getattr(module, name)
        if not tensor.any():
            tensor.normal_(std=scale)
