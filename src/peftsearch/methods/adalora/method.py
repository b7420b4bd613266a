"""AdaLoRA as peft has it, held to a number of parameters."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from peft import AdaLoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import TrainerCallback
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import BudgetError, ConfigurationError, TrainingError
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.space import Choice, Configuration, Role, Site
from peftsearch.training.pytree import PyTree

ATTENTION_ROLES = frozenset({Role.QUERY, Role.KEY, Role.VALUE, Role.QUERY_KEY_VALUE, Role.ATTENTION_OUTPUT})
DEFAULT_RANK = 8
# Ranks at the start over those at the end, as in the paper's scripts (3 to 2).
INITIAL_RANKS = 1.5
_FEWEST_STEPS = 3
# What peft's allocator knows of each tensor.
_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def triplet_cost(site: Site) -> int:
    """Parameters of one rank: a left and a right vector and a singular value."""
    return site.in_width + site.out_width + 1


def attention_sites(sites: Iterable[Site]) -> list[Site]:
    """Self-attention's linear maps of one size, since only then every budget is used up to the last rank.

    Of several sizes the one with the most sites is taken, then the larger.
    """
    by_cost: dict[int, list[Site]] = defaultdict(list)
    for site in sites:
        if site.role in ATTENTION_ROLES:
            by_cost[triplet_cost(site)].append(site)
    if not by_cost:
        raise ConfigurationError("AdaLoRA found no linear map of self-attention in this model. Give --roles.")
    return by_cost[max(by_cost, key=lambda cost: (len(by_cost[cost]), cost))]


@dataclass(frozen=True)
class RankAllocation:
    """How many ranks there are.

    Args:
        sites: linear maps that share them.
        total_rank: ranks left at the end, over all sites.
    """

    sites: tuple[Site, ...]
    total_rank: int

    @property
    def initial_rank(self) -> int:
        """Rank of every site at the start: 1.5 times the mean at the end, and at least one rank more in all."""
        mean = self.total_rank / len(self.sites)
        return max(math.ceil(INITIAL_RANKS * mean), math.floor(mean) + 1)

    @property
    def num_parameters(self) -> int:
        """The most that the ranks left can cost, task head excluded."""
        return self.total_rank * max(map(triplet_cost, self.sites))

    @classmethod
    def of_mean(cls, sites: Sequence[Site], rank: int) -> "RankAllocation":
        """Ranks for a mean over the sites."""
        return cls(tuple(sites), rank * len(sites))

    @classmethod
    def within(cls, sites: Sequence[Site], budget: int) -> "RankAllocation":
        """As many ranks as the budget is sure to hold, wherever they end up.

        Raises:
            BudgetError: if it holds none.
        """
        cost = max(map(triplet_cost, sites))
        if budget < cost:
            raise BudgetError(f"One rank of AdaLoRA has {cost:,} parameters, but the budget is {budget:,}.")
        widest = sum(min(site.in_width, site.out_width) for site in sites)
        return cls(tuple(sites), min(budget // cost, widest))


@dataclass(frozen=True)
class RankSchedule:
    """When ranks are taken away.

    Args:
        steps: optimizer steps in all.
        warmup: steps before the first rank goes.
        select_after_step: step after which the ranks don't change any more.
    """

    steps: int
    warmup: int
    select_after_step: int

    @classmethod
    def of(cls, settings: AdaLoraSettings, steps: int) -> "RankSchedule":
        """Turn the settings' shares into steps.

        Raises:
            TrainingError: if there are too few steps to score ranks and take some away.
        """
        if steps < _FEWEST_STEPS:
            raise TrainingError(
                f"AdaLoRA needs {_FEWEST_STEPS} optimizer steps or more, but {steps} are planned. "
                "Raise --num_train_epochs or lower --per_device_train_batch_size."
            )
        # peft scores no rank in the settling step itself, so one step at least must come before it.
        select_after_step = max(2, steps - max(1, int(settings.final * steps)))
        return cls(steps, min(int(settings.warmup * steps), select_after_step - 1), select_after_step)


def attach_adalora(
    model: nn.Module,
    allocation: RankAllocation,
    *,
    schedule: RankSchedule,
    settings: AdaLoraSettings,
    head: Sequence[str] = (),
    task_type: str | None = None,
) -> PeftModel:
    """Attach peft's AdaLoRA; the scale is 1 at the initial rank as that of our LoRA, since peft divides alpha by it.

    Source: Zhang et al. 2023 (ICLR), eq. 3 to 13; `specs/adalora_increlora.md`. peft follows the reference code.

    Raises:
        ConfigurationError: if a site is no linear map.
    """
    layers = [model.get_submodule(site.path) for site in allocation.sites]
    wrong = [s.name for s, layer in zip(allocation.sites, layers, strict=True) if not _is_linear(layer)]
    if wrong:
        raise ConfigurationError(f"AdaLoRA fits linear maps only, but '{wrong[0]}' is none. Give other --roles.")
    config = AdaLoraConfig(
        task_type=task_type,
        # A pattern instead of names: peft would write those in a random order.
        target_modules="|".join(re.escape(site.path) for site in allocation.sites),
        modules_to_save=list(head) or None,
        fan_in_fan_out=isinstance(layers[0], Conv1D),
        init_r=allocation.initial_rank,
        target_r=max(1, allocation.total_rank // len(allocation.sites)),
        lora_alpha=allocation.initial_rank,
        tinit=schedule.warmup,
        tfinal=schedule.steps - schedule.select_after_step,
        total_step=schedule.steps,
        deltaT=settings.interval,
        orth_reg_weight=settings.orthogonality,
    )
    attached = get_peft_model(model, config)
    # peft knows whole mean ranks only; this is the exact number of ranks.
    attached.base_model.rankallocator.target_bgt = allocation.total_rank
    return attached


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear | Conv1D)


class AllocateRanks(TrainerCallback):
    """Let AdaLoRA score its ranks and take some away after every optimizer step.

    Args:
        schedule: what the adapter was attached with.
        model: what it was attached to.
    """

    def __init__(self, schedule: RankSchedule, model: PeftModel):
        self.schedule, self.model = schedule, model

    def on_train_begin(self, args, state, control, **_) -> None:
        if state.max_steps != self.schedule.steps:
            raise TrainingError(
                f"AdaLoRA was planned for {self.schedule.steps} steps, but the training has {state.max_steps}. "
                "Train on one device."
            )

    def on_optimizer_step(self, args, state, control, **_) -> None:
        # The trainer counts the step after this call.
        self.model.base_model.update_and_allocate(state.global_step + 1)

    def state_dict(self) -> PyTree:
        """The scores of ranks, smoothed, and which are left."""
        allocator = self.model.base_model.rankallocator
        pattern = self.model.peft_config[self.model.active_adapter].rank_pattern
        return {"scores": [getattr(allocator, name) for name in _SCORES], "pattern": pattern}

    def load_state_dict(self, state: PyTree) -> None:
        """Go on with earlier scores and ranks."""
        allocator, device = self.model.base_model.rankallocator, self.model.device
        for name, scores in zip(_SCORES, state["scores"], strict=True):
            setattr(allocator, name, {key: tensor.to(device) for key, tensor in scores.items()})
        self.model.peft_config[self.model.active_adapter].rank_pattern = state["pattern"]


def read_ranks(adapter: Path, sites: Iterable[Site]) -> Configuration:
    """The ranks that a saved AdaLoRA adapter has, as LoRA of those ranks; sites without any are left out."""
    document = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    pattern = {name.removesuffix(".lora_E"): sum(kept) for name, kept in document["rank_pattern"].items()}
    return Configuration.of(Choice(s.name, "lora", pattern[s.path]) for s in sites if pattern.get(s.path))
