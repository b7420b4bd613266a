"""S3Delta: a gate for each module, under a sigmoid that is shifted until the expected size is the budget.

Source: Hu et al. 2022, "Sparse Structure Search for Parameter-Efficient Tuning" (arXiv 2206.07382); docs/s3delta.md
lists where we differ.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from peftsearch.methods.s3delta.rules import binary_concrete, keep_one_on, let_compete, probabilities
from peftsearch.methods.s3delta.settings import S3DeltaSettings
from peftsearch.modules.peft_module import Mask
from peftsearch.searches.gate_strategy import GateStrategy, Observation
from peftsearch.space import Configuration, Placement, SearchSpace
from peftsearch.space.repair import EMPTY
from peftsearch.supernet.supernet import Gates
from peftsearch.training.pytree import PyTree


class S3Delta(GateStrategy):
    """S3Delta's search: train a probability for each module, then keep the most probable ones.

    Args:
        space: the search space, with one rank for each placement.
        budgets: budgets in parameters; the smallest shifts the sigmoid, and one order of the modules serves all.
        settings: the method's settings.
        planned_steps: steps over which the learning rate falls to 0.
    """

    split = "halves"

    def __init__(self, space: SearchSpace, *, budgets: Sequence[int], settings: S3DeltaSettings, planned_steps: int):
        self.space, self.settings = space, settings
        self.budgets = sorted(set(budgets))
        self.is_second_order = settings.order == "second"
        self.placements: list[Placement] = list(space.ranks)
        sizes = {choice.placement: space.cost_of(choice) for choice in space.largest}
        self.sizes = torch.tensor([sizes[p] for p in self.placements], dtype=torch.float64)
        self.logits = torch.zeros(len(sizes), dtype=torch.float64, requires_grad=True)  # alpha
        self._optimizer = torch.optim.AdamW([self.logits], lr=settings.learning_rate, weight_decay=0.0)
        self._schedule = torch.optim.lr_scheduler.LinearLR(self._optimizer, 1.0, 0.0, total_iters=planned_steps)
        self.best_score = -math.inf
        self._best_logits: torch.Tensor | None = None

    # -- the architecture step

    def has_architecture_step(self, step: int) -> bool:
        return True

    def architecture_parameters(self, step: int) -> list[torch.Tensor]:
        return [self.logits]

    def architecture_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        return self._gates(self._sample(), device)

    def update_architecture(self, step: int, gradients: list[torch.Tensor]) -> None:
        (self.logits.grad,) = gradients
        torch.nn.utils.clip_grad_norm_([self.logits], self.settings.max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()

    # -- the weight step

    @torch.no_grad()
    def weight_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        return self._gates(self._sample(), device)

    def observe(self, step: int, observation: Observation) -> list[Placement]:
        return []

    # -- the end

    @torch.no_grad()
    def end_epoch(self, score: Callable[[Gates], float]) -> None:
        """Keep the logits of the epoch whose supernet, with p as its gates, scores best; of equals the later."""
        found = score(self._gates(self.probability(), self.logits.device))
        if self._best_logits is None or found >= self.best_score:
            self.best_score, self._best_logits = found, self.logits.detach().clone()

    def finished(self) -> bool:
        return False

    def status(self, step: int) -> dict[str, Any]:
        probability = self.probability()
        return {
            "expected_parameters": float(self.sizes @ probability),
            "budget_parameters": self.budgets[0],
            "live_modules": len(self.placements),
            "likely_modules": int((probability >= 0.5).sum()),
            "best_score": None if self._best_logits is None else self.best_score,
        }

    def importances(self) -> dict[Placement, float]:
        return dict(zip(self.placements, self.probability().tolist()))

    def state_dict(self) -> PyTree:
        return {
            "logits": self.logits,
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "best_score": self.best_score,
            "best_logits": self._best_logits,
        }

    @torch.no_grad()
    def load_state_dict(self, state: PyTree) -> None:
        self.logits.copy_(state["logits"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.best_score, self._best_logits = state["best_score"], state["best_logits"]

    def probability(self, logits: torch.Tensor | None = None) -> torch.Tensor:
        """Compute p, (placements,): the probability that each module is on.

        Args:
            logits: (placements,); None for the present ones.
        """
        logits = self.logits.detach() if logits is None else logits
        return probabilities(logits, self.sizes, self.budgets[0], sharpness=self.settings.sharpness)

    def results(self) -> dict[int, Configuration]:
        """Add modules by descending p, skipping those that don't fit."""
        order = torch.argsort(self._found(), descending=True, stable=True).tolist()
        by_probability = [self.placements[i] for i in order]
        results: dict[int, Configuration] = {}
        core = EMPTY
        for budget in self.budgets:
            core = results[budget] = self.space.fill(core, ordered=by_probability, budget=budget)
        return results

    def notes(self) -> list[str]:
        probability = dict(zip(self.placements, self._found().tolist()))
        chosen = [probability[choice.placement] for choice in self.results()[self.budgets[0]]]
        if sum(chosen) >= 0.5 * len(chosen):
            return []
        return [
            f"The gates were still undecided: the kept modules are on with a mean probability of "
            f"{sum(chosen) / len(chosen):.2f}. Use more data or epochs (--method.epochs)."
        ]

    def _found(self) -> torch.Tensor:
        return self.probability(self._best_logits)

    def _sample(self) -> torch.Tensor:
        """Draw soft gates, (placements,) in [0, 1]."""
        settings = self.settings
        probability = probabilities(self.logits, self.sizes, self.budgets[0], sharpness=settings.sharpness)
        probability = let_compete(probability)
        gates = binary_concrete(probability, torch.rand_like(probability), settings.temperature)
        return keep_one_on(gates, probability)

    def _gates(self, values: torch.Tensor, device: torch.device) -> Gates:
        return {p: Mask(gate=gate) for p, gate in zip(self.placements, values.float().to(device).unbind(0))}
