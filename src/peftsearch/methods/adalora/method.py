"""The AdaLoRA of peft, held to a number of parameters."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import AdaLoraConfig, AdaLoraModel, PeftModel, get_peft_model
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import BudgetError, ConfigurationError, TrainingError
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.space import Choice, Configuration, Role, Site
from peftsearch.training.pytree import PyTree

ATTENTION_ROLES = frozenset(
    {Role.QUERY, Role.KEY, Role.VALUE, Role.KEY_VALUE, Role.QUERY_KEY_VALUE, Role.ATTENTION_OUTPUT}
)
DEFAULT_RANK = 8
# Initial ranks over final ones, as in the paper's scripts (3 to 2).
INITIAL_RANKS = 1.5
_FEWEST_STEPS = 3
# Attributes of peft's allocator: scores of each tensor, their moving average, and that of their uncertainty.
_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def triplet_cost(site: Site) -> int:
    """Count the parameters of one rank: a left and a right vector and a singular value."""
    return site.in_width + site.out_width + 1


def attention_sites(sites: Iterable[Site]) -> list[Site]:
    """Find the linear maps of self-attention that have one size: only then a budget is used up to the last rank.

    Of several sizes the one with the most sites is taken, of equals the larger.

    Raises:
        ConfigurationError: if the model has no such map.
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
    """The number of ranks that some sites share.

    Args:
        sites: linear maps, at least one.
        total_rank: final ranks, summed over the sites, at least 1.
    """

    sites: tuple[Site, ...]
    total_rank: int

    @property
    def initial_rank(self) -> int:
        """Rank of every site at the start: 1.5 times the final mean, and above it."""
        mean = self.total_rank / len(self.sites)
        return max(math.ceil(INITIAL_RANKS * mean), math.floor(mean) + 1)

    @property
    def num_parameters(self) -> int:
        """The most parameters that the final ranks can have, task head excluded."""
        return self.total_rank * max(map(triplet_cost, self.sites))

    @classmethod
    def of_mean(cls, sites: Sequence[Site], rank: int) -> "RankAllocation":
        """Allocate `rank` for each site on average."""
        return cls(tuple(sites), rank * len(sites))

    @classmethod
    def within(cls, sites: Sequence[Site], budget: int) -> "RankAllocation":
        """Allocate as many ranks as a budget holds wherever they end up.

        Args:
            sites: linear maps, at least one.
            budget: in parameters.

        Raises:
            BudgetError: if it holds no rank.
        """
        cost = max(map(triplet_cost, sites))
        if budget < cost:
            raise BudgetError(f"One rank of AdaLoRA has {cost:,} parameters, but the budget is {budget:,}.")
        widest = sum(min(site.in_width, site.out_width) for site in sites)
        return cls(tuple(sites), min(budget // cost, widest))


@dataclass(frozen=True)
class RankSchedule:
    """The steps in which ranks are removed.

    Args:
        steps: optimizer steps of the training.
        warmup: steps before the first rank is removed.
        select_after_step: step after which the ranks stay as they are.
    """

    steps: int
    warmup: int
    select_after_step: int

    @classmethod
    def of(cls, settings: AdaLoraSettings, steps: int) -> "RankSchedule":
        """Turn the shares of the settings into steps.

        Args:
            settings: give the shares.
            steps: optimizer steps of the training.

        Raises:
            TrainingError: if there are too few steps to score ranks and remove some.
        """
        if steps < _FEWEST_STEPS:
            raise TrainingError(
                f"AdaLoRA needs {_FEWEST_STEPS} optimizer steps or more, but {steps} are planned. "
                "Raise --num_train_epochs or lower --per_device_train_batch_size."
            )
        # peft scores no rank in the last step that removes some, so at least one step must come before it.
        select_after_step = max(2, steps - max(1, int(settings.final * steps)))
        return cls(steps, min(int(settings.warmup * steps), select_after_step - 1), select_after_step)


def attach_adalora(  # noqa: PLR0913  as many as `attach`, and how it is trained
    model: nn.Module,
    allocation: RankAllocation,
    *,
    schedule: RankSchedule,
    settings: AdaLoraSettings,
    head: Sequence[str] = (),
    task_type: str | None = None,
    token_rows: Mapping[str, list[int]] | None = None,
) -> PeftModel:
    """Attach peft's AdaLoRA to a model.

    peft divides `lora_alpha` by the initial rank. Both are equal here, so that the scale is 1, like that of our LoRA.

    Args:
        model: a transformers model, changed in place.
        allocation: the sites and their ranks.
        schedule: of the training.
        settings: interval of allocations and weight of the orthogonality term.
        head: names of the modules that are trained and saved beside the adapter.
        task_type: peft's word for the task, such as "SEQ_CLS".
        token_rows: name of a layer -> numbers of tokens whose rows are trained and saved.

    Raises:
        ConfigurationError: if a site is no linear map.

    Source: Zhang et al. 2023 (ICLR), eq. 3 to 13. peft follows the reference code.
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
        trainable_token_indices=dict(token_rows or {}) or None,
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
    _tuner_of(attached).rankallocator.target_bgt = allocation.total_rank
    return attached


def _tuner_of(model: PeftModel) -> AdaLoraModel:
    assert isinstance(model.base_model, AdaLoraModel)
    return model.base_model


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear | Conv1D)


class AllocateRanks(TrainerCallback):
    """Scores the ranks of AdaLoRA, and removes some of them, after every optimizer step.

    Args:
        schedule: with which the adapter was attached.
        model: the result of `attach_adalora`.
    """

    def __init__(self, schedule: RankSchedule, model: PeftModel):
        self.schedule, self.model = schedule, model

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.max_steps != self.schedule.steps:
            raise TrainingError(
                f"AdaLoRA was planned for {self.schedule.steps} steps, but the training has {state.max_steps}. "
                "Train on one device."
            )

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # The trainer counts the step after this call.
        _tuner_of(self.model).update_and_allocate(state.global_step + 1)

    def state_dict(self) -> PyTree:
        """Return the scores of all ranks, and which ranks are left."""
        allocator = _tuner_of(self.model).rankallocator
        return {"scores": [getattr(allocator, name) for name in _SCORES], "pattern": self._config.rank_pattern}

    def load_state_dict(self, state: PyTree) -> None:
        """Restore the result of `state_dict()`."""
        allocator, device = _tuner_of(self.model).rankallocator, self.model.device
        for name, scores in zip(_SCORES, state["scores"], strict=True):
            setattr(allocator, name, {key: tensor.to(device) for key, tensor in scores.items()})
        self._config.rank_pattern = state["pattern"]

    @property
    def _config(self) -> AdaLoraConfig:
        config = self.model.peft_config[self.model.active_adapters[0]]
        assert isinstance(config, AdaLoraConfig)
        return config


def read_ranks(adapter: Path, sites: Iterable[Site]) -> Configuration:
    """Read the ranks of a saved AdaLoRA adapter, as a configuration of LoRA; sites of rank 0 are left out.

    Args:
        adapter: folder of the adapter.
        sites: of the model.
    """
    document = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    pattern = {name.removesuffix(".lora_E"): sum(kept) for name, kept in document["rank_pattern"].items()}
    return Configuration.of(Choice(s.name, "lora", pattern[s.path]) for s in sites if pattern.get(s.path))
