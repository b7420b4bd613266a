"""BIPEFT: budget-guided iterative search over disentangled binary and rank spaces, with early selection.

Source: Chang et al. 2024, "BIPEFT: Budget-Guided Iterative Search for Parameter Efficient Fine-Tuning of Large
Pretrained Language Models"; equation numbers are the paper's. Where paper and public code differ, and where we
differ from both, is listed in docs/bipeft.md.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from peftsearch.methods.bipeft.rules import (
    STABILITIES,
    choose_removals,
    count_ranks_to_fix,
    dimension_stability,
    fill_indicator,
    scheduled_stage,
)
from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.methods.bipeft.snapshot import Snapshot
from peftsearch.searches.gate_strategy import GateStrategy, Observation
from peftsearch.space import Configuration, Placement, SearchSpace
from peftsearch.space.repair import EMPTY, repair
from peftsearch.supernet.architecture import (
    RELAXATIONS,
    SIZES,
    Architecture,
    Disentangled,
    Entangled,
    OptionTable,
    regularisation,
)
from peftsearch.supernet.gates import differentiable_gates, fixed_gates
from peftsearch.supernet.sensitivity import SENSITIVITIES, Records
from peftsearch.supernet.supernet import Gates
from peftsearch.training.pytree import PyTree

ADAM_BETAS = (0.5, 0.999)


class Bipeft(GateStrategy):
    """BIPEFT's search: train the architecture, and prune the least sensitive modules whenever their ranking settles.

    Args:
        space: the search space.
        budgets: budgets in parameters. The search prunes down to the smallest; on the way it keeps a snapshot for each
            larger one. The paper has a single budget.
        settings: the method's settings.
        planned_steps: steps after which the search ends in any case.
    """

    split = "halves"

    def __init__(self, space: SearchSpace, *, budgets: Sequence[int], settings: BipeftSettings, planned_steps: int):
        self.space, self.settings, self.planned_steps = space, settings, planned_steps
        self.budgets = sorted(set(budgets))
        self.table = OptionTable(space)
        self.architecture: Architecture = (Entangled if settings.order == "entangled" else Disentangled)(self.table)
        self.relaxation = RELAXATIONS[settings.sampling]
        self.sensitivity = SENSITIVITIES[settings.sensitivity]
        self._optimizer = torch.optim.Adam(
            self._logits(),
            lr=settings.learning_rate,
            betas=ADAM_BETAS,
            weight_decay=settings.weight_decay,
        )
        count = len(self.table.placements)
        # Added to every gate: the loss's derivative by it is that by the gate, sampled on or off.
        self._gate_probe = torch.zeros(count, requires_grad=True)
        self._effects = torch.zeros(count)  # of the last architecture step
        if settings.ranks == "smallest":
            self.architecture.fixed = torch.zeros(count, dtype=torch.long)
        self.is_live = torch.ones(count, dtype=torch.bool)
        self.scores = torch.zeros(count)  # S_n, smoothed sensitivity
        self.indicators: deque[torch.Tensor] = deque(maxlen=settings.window + 1)
        self.num_triggers = 0
        self.stability: float | None = None
        self._rank_history = [self.architecture.rank_logits()]  # the last trigger's, then each step's
        self._last_ranks = self._rank_vector()
        self._snapshots: dict[int, Snapshot] = {}

    # -- the architecture step

    def has_architecture_step(self, step: int) -> bool:
        return step >= self.settings.weight_warmup

    def stage(self, step: int) -> str:
        """Name the logits that a step trains: "binary" or "rank", or "joint" in the entangled space."""
        stages = self.architecture.stages if self.table.is_ranked.any() else self.architecture.stages[:1]
        return scheduled_stage(self.settings.order, stages, step=step, planned_steps=self.planned_steps)

    def temperature(self, step: int) -> float:
        """Compute the temperature of a step's relaxation, which falls linearly over the planned steps."""
        start, end = self.settings.temperature_start, self.settings.temperature_end
        return start + (end - start) * min(1.0, step / max(1, self.planned_steps - 1))

    def architecture_parameters(self, step: int) -> list[torch.Tensor]:
        return [*self.architecture.parameters(self.stage(step)), self._gate_probe]

    def architecture_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        gates, ranks = self.architecture.sample(self.stage(step), self.relaxation, self.temperature(step))
        return differentiable_gates(self.table, live, gates=gates + self._gate_probe, ranks=ranks, device=device)

    def architecture_penalty(self, step: int) -> torch.Tensor:
        return self.settings.regularisation * regularisation(self.architecture.parameters(self.stage(step)))

    def update_architecture(self, step: int, gradients: list[torch.Tensor]) -> None:
        *of_logits, of_gates = gradients
        self._effects = -of_gates.cpu()
        # Adam passes over tensors without a gradient, so the other stage's logits stay exactly as they are.
        for parameter, gradient in zip(self.architecture.parameters(self.stage(step)), of_logits, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    # -- the weight step

    @torch.no_grad()
    def weight_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        stage = self.architecture.stages[0]
        gates, ranks = self.architecture.sample(stage, self.relaxation, self.temperature(step))
        return fixed_gates(self.table, live, gates=gates, ranks=ranks, device=device)

    # -- sensitivity, trigger, selection

    @torch.no_grad()
    def observe(self, step: int, observation: Observation) -> list[Placement]:
        if observation.validation_saliency is None:
            return []
        index = torch.tensor([self.table.index[placement] for placement in observation.live])
        effects = self._effects[index].to(observation.modules.sizes.device)
        records = Records(observation.modules, observation.weight_saliency, observation.validation_saliency, effects)
        self._smooth(self.sensitivity(records).cpu(), index)
        self._rank_history.append(self.architecture.rank_logits())
        self.indicators.append(fill_indicator(self._live_scores(), self._sizes(), self.budgets[0]))
        self.stability = STABILITIES[self.settings.trigger](self.indicators, self.settings.window)
        if self.settings.selection == "final" or step < self._warmup_steps or self.finished():
            return []
        if self.stability is None or self.stability < self.settings.threshold:
            return []
        return self._trigger(step)

    @property
    def _warmup_steps(self) -> int:
        warmup = self.settings.warmup
        return int(warmup * self.planned_steps if warmup < 1 else warmup)

    def _smooth(self, new: torch.Tensor, index: torch.Tensor) -> None:
        """Update the scores of the live placements: S_n <- decay * S_n + (1 - decay) * s_n (eq. 4)."""
        new = new * self._unused_rank_factor()[index]
        self.scores[index] = self.settings.decay * self.scores[index] + (1 - self.settings.decay) * new

    def _unused_rank_factor(self) -> torch.Tensor:
        """Divide the sizes at the largest rank by the sizes at the preferred one, (placements,).

        I_n is a mean over the weights of a module. Those beyond its present rank are masked and have no gradient;
        counting them would make every ranked module look up to eight times less sensitive than a vector.
        """
        return (self.table.costs[:, -1] / self.architecture.preferred_sizes()).float()

    def _trigger(self, step: int) -> list[Placement]:
        """Remove modules (eq. 6) and fix ranks (eqs 9-10).

        Triggers left are no more than steps left, so that a search of fewer steps than triggers comes near the budget
        too.

        Returns:
            placements to remove.
        """
        left = max(1, min(self.settings.max_triggers - self.num_triggers, self.planned_steps - step))
        sizes = self._sizes()
        excess = float(sizes.sum()) - self.budgets[0]
        removals = choose_removals(self._live_scores(), sizes, reduction=excess / left, at_least_one=excess > 0)
        self.is_live[removals] = False
        self._fix_ranks(left)
        self.num_triggers += 1
        self._keep_snapshots()
        return [self.table.placements[i] for i in removals.tolist()]

    def _fix_ranks(self, triggers_left: int) -> None:
        now = self._rank_vector()
        candidates = torch.nonzero(self.is_live & (self.architecture.fixed < 0)).flatten()
        if len(candidates):
            count = count_ranks_to_fix(self._last_ranks, now, unfixed=len(candidates), triggers_left=triggers_left)
            stability = dimension_stability(torch.stack(self._rank_history)[:, candidates])
            self.architecture.fix(candidates[torch.argsort(stability, stable=True)[:count]])
        self._last_ranks = now
        self._rank_history = self._rank_history[-1:]

    def _rank_vector(self) -> torch.Tensor:
        """Make v, (ranked placements,): the preferred rank of each, 0 if removed."""
        ranks = self.table.ranks.gather(1, self.architecture.preferred_column()[:, None])[:, 0]
        return (ranks * self.is_live)[self.table.is_ranked].float()

    def _sizes(self) -> torch.Tensor:
        """Compute the sizes, (placements,) parameters, 0 for removed ones; their sum is E (eqs 7-8)."""
        return SIZES[self.settings.sizes](self.architecture) * self.is_live

    def _live_scores(self) -> torch.Tensor:
        """Return the scores, (placements,), -inf for removed ones."""
        return self.scores.masked_fill(~self.is_live, -torch.inf)

    # -- checkpoints

    def state_dict(self) -> PyTree:
        return {
            "logits": self._logits(),
            "fixed": self.architecture.fixed,
            "optimizer": self._optimizer.state_dict(),
            "is_live": self.is_live,
            "scores": self.scores,
            "indicators": list(self.indicators),
            "num_triggers": self.num_triggers,
            "stability": self.stability,
            "rank_history": self._rank_history,
            "last_ranks": self._last_ranks,
            "snapshots": {
                budget: snapshot.state_dict(self.table.placements) for budget, snapshot in self._snapshots.items()
            },
        }

    @torch.no_grad()
    def load_state_dict(self, state: PyTree) -> None:
        for own, saved in zip(self._logits(), state["logits"], strict=True):
            own.copy_(saved)
        self._optimizer.load_state_dict(state["optimizer"])
        self.architecture.fixed, self.is_live, self.scores = state["fixed"], state["is_live"], state["scores"]
        self.indicators.extend(state["indicators"])
        self.num_triggers, self.stability = state["num_triggers"], state["stability"]
        self._rank_history, self._last_ranks = state["rank_history"], state["last_ranks"]
        placements = self.table.placements
        self._snapshots = {at: Snapshot.of_state(saved, placements) for at, saved in state["snapshots"].items()}

    def _logits(self) -> list[torch.Tensor]:
        return [w for stage in self.architecture.stages for w in self.architecture.parameters(stage)]

    # -- the end

    def finished(self) -> bool:
        return self.num_triggers >= self.settings.max_triggers

    def status(self, step: int) -> dict[str, Any]:
        largest = self.table.costs[:, -1]
        return {
            "stage": self.stage(step),
            "temperature": self.temperature(step),
            "expected_parameters": float(self._sizes().sum()),
            "budget_parameters": self.budgets[0],
            "live_modules": int(self.is_live.sum()),
            "live_parameters": int((largest * self.is_live).sum()),
            "stability": self.stability,
            "triggers": self.num_triggers,
            "fixed_ranks": int(((self.architecture.fixed >= 0) & self.is_live & self.table.is_ranked).sum()),
        }

    def importances(self) -> dict[Placement, float]:
        scores = zip(self.table.placements, self.scores.tolist(), self.is_live.tolist())
        return {placement: score for placement, score, is_live in scores if is_live}

    def notes(self) -> list[str]:
        if self.num_triggers:
            return []
        return [
            f"The search ended after {self.planned_steps} steps without a single trigger, so its choice says little. "
            "Use more data or epochs, or, with --method bipeft, a longer search (--method.cost 1) or a shorter "
            "--method.warmup."
        ]

    def _keep_snapshots(self) -> None:
        """Take a snapshot for each larger budget that the expected size now meets for the first time."""
        expected = float(self._sizes().sum())
        for budget in self.budgets[1:]:
            if expected <= budget and budget not in self._snapshots:
                self._snapshots[budget] = self._snapshot()

    def _snapshot(self) -> Snapshot:
        live = [p for p, is_live in zip(self.table.placements, self.is_live.tolist()) if is_live]
        ranks = self.table.ranks.gather(1, self.architecture.preferred_column()[:, None])[:, 0].tolist()
        scores = dict(zip(self.table.placements, self.scores.tolist()))
        return Snapshot(live, dict(zip(self.table.placements, ranks)), scores)

    def results(self) -> dict[int, Configuration]:
        results: dict[int, Configuration] = {}
        core = EMPTY
        for budget in self.budgets:
            at = self._snapshots.get(budget) or self._snapshot()
            core = results[budget] = repair(
                self.space, live=self._selected(at.live), ranks=at.ranks, scores=at.scores, budget=budget, core=core
            )
        return results

    def _selected(self, live: list[Placement]) -> list[Placement]:
        """Filter the live modules: with selection at the end alone, keep those that are likelier on than off."""
        if self.settings.selection == "early":
            return live
        on = (self.architecture.on_probability() >= 0.5).tolist()
        return [placement for placement in live if on[self.table.index[placement]]]
