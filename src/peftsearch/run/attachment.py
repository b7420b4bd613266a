"""What can be trained on a model: a configuration's modules, inherited ones, all of the model, or AdaLoRA."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from peft import PeftModel
from torch import nn
from transformers import TrainerCallback

from peftsearch.methods.adalora.method import AllocateRanks, Allocation, Schedule, attach_adalora, read_ranks
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.methods.manual.method import cost
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.space import Configuration

ADAPTER, MODEL = "adapter", "model"


@dataclass(frozen=True)
class Attached:
    """A model that is ready to be trained.

    Args:
        model: with its trainable parameters marked.
        callbacks: that its training needs.
        select_after_step: optimizer steps before which no epoch's weights may be kept.
    """

    model: nn.Module
    callbacks: tuple[TrainerCallback, ...] = ()
    select_after_step: int = 0


class Attachment(Protocol):
    """A way to make a model trainable.

    Args:
        saved_as: name of the folder with the result: "adapter", or "model" for the whole model.
    """

    saved_as: str

    def num_parameters(self, scope: Scope) -> int:
        """The most parameters that the result can have, task head excluded."""

    def attach(self, workspace: Workspace, seed: int, *, steps: int) -> Attached:
        """A fresh model for a training of so many optimizer steps."""

    def found(self, saved: Path, scope: Scope) -> Configuration:
        """The configuration of the result in a folder."""


@dataclass(frozen=True)
class FreshModules:
    """The modules of a configuration with fresh weights; an empty one trains the task head alone."""

    configuration: Configuration
    saved_as = ADAPTER

    def num_parameters(self, scope: Scope) -> int:
        return cost(self.configuration, scope.sites)

    def attach(self, workspace: Workspace, seed: int, *, steps: int) -> Attached:
        loaded = workspace.fresh_model(seed)
        sites = find_sites(loaded.model)
        model = attach(loaded.model, self.configuration, sites=sites, head=loaded.head, task_type=workspace.task_type)
        return Attached(model)

    def found(self, saved: Path, scope: Scope) -> Configuration:
        return self.configuration


@dataclass(frozen=True)
class InheritedModules:
    """The modules of a configuration with the weights of an adapter that lies in a folder."""

    configuration: Configuration
    folder: Path
    saved_as = ADAPTER

    def num_parameters(self, scope: Scope) -> int:
        return cost(self.configuration, scope.sites)

    def attach(self, workspace: Workspace, seed: int, *, steps: int) -> Attached:
        model = workspace.fresh_model(seed).model
        return Attached(PeftModel.from_pretrained(model, str(self.folder), is_trainable=True))

    def found(self, saved: Path, scope: Scope) -> Configuration:
        return self.configuration


@dataclass(frozen=True)
class WholeModel:
    """Every parameter of the model, with nothing attached."""

    saved_as = MODEL

    def num_parameters(self, scope: Scope) -> int:
        return scope.backbone_parameters

    def attach(self, workspace: Workspace, seed: int, *, steps: int) -> Attached:
        return Attached(workspace.fresh_model(seed).model)

    def found(self, saved: Path, scope: Scope) -> Configuration:
        return Configuration()


@dataclass(frozen=True)
class AdaLora:
    """peft's AdaLoRA, whose ranks are known after the training only."""

    allocation: Allocation
    settings: AdaLoraSettings
    saved_as = ADAPTER

    def num_parameters(self, scope: Scope) -> int:
        return self.allocation.num_parameters

    def attach(self, workspace: Workspace, seed: int, *, steps: int) -> Attached:
        schedule = Schedule.of(self.settings, steps)
        loaded = workspace.fresh_model(seed)
        model = attach_adalora(
            loaded.model,
            self.allocation,
            schedule=schedule,
            settings=self.settings,
            head=loaded.head,
            task_type=workspace.task_type,
        )
        return Attached(model, (AllocateRanks(schedule, model),), schedule.select_after_step)

    def found(self, saved: Path, scope: Scope) -> Configuration:
        return read_ranks(saved, scope.sites)
