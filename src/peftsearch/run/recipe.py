"""Recipes: ways to make a pretrained model trainable and to save what was trained."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import PreTrainedModel, TrainerCallback

from peftsearch.errors import ConfigurationError
from peftsearch.methods.adalora.method import AllocateRanks, RankAllocation, RankSchedule, attach_adalora, read_ranks
from peftsearch.methods.adalora.settings import AdaLoraSettings
from peftsearch.modules.costs import cost
from peftsearch.run.experiment import Experiment
from peftsearch.space import Configuration

# Names of the folders that results are saved in.
ADAPTER, MODEL = "adapter", "model"


class Attached(NamedTuple):
    """A model that is ready to be trained.

    Args:
        model: with its trainable parameters marked.
        callbacks: that its training needs.
        select_after_step: optimizer steps before which no epoch's weights may be kept.
    """

    model: PeftModel | PreTrainedModel
    callbacks: tuple[TrainerCallback, ...] = ()
    select_after_step: int = 0


@dataclass(frozen=True)
class Recipe(ABC):
    """A way to make a pretrained model trainable.

    Args:
        name: for progress and logs.
        method: name of the method that chose it; the same as `name` if empty.
        notes: sentences for the user about the choice.
    """

    # Folder of the result: "adapter", or "model" for the whole model.
    saved_as: ClassVar[str] = ADAPTER

    name: str
    method: str = ""
    notes: tuple[str, ...] = ()

    @abstractmethod
    def num_parameters(self, experiment: Experiment) -> int:
        """The most trainable parameters that its modules can have: task head and rows of tokens excluded."""

    @abstractmethod
    def attach(self, experiment: Experiment, seed: int, *, steps: int) -> Attached:
        """Load the pretrained model anew and make it trainable.

        Args:
            experiment: gives model and sites.
            seed: of the task head and of the modules.
            steps: optimizer steps of the training, for schedules.
        """

    @abstractmethod
    def read_configuration(self, saved: Path, experiment: Experiment) -> Configuration:
        """The configuration of a trained result.

        Args:
            saved: folder of the result.
            experiment: gives the sites.
        """


@dataclass(frozen=True, kw_only=True)
class FreshModules(Recipe):
    """The modules of a configuration with fresh weights; an empty one trains the task head alone.

    Args:
        configuration: is attached.
    """

    configuration: Configuration

    def num_parameters(self, experiment: Experiment) -> int:
        return cost(self.configuration, experiment.sites)

    def attach(self, experiment: Experiment, seed: int, *, steps: int) -> Attached:
        return Attached(experiment.attach(experiment.start_model(seed), self.configuration))

    def read_configuration(self, saved: Path, experiment: Experiment) -> Configuration:
        return self.configuration


@dataclass(frozen=True, kw_only=True)
class InheritedModules(FreshModules):
    """The modules of a configuration, starting from the weights of an adapter in a folder.

    Args:
        folder: of the adapter, which has the same configuration.
    """

    folder: Path

    def attach(self, experiment: Experiment, seed: int, *, steps: int) -> Attached:
        model = experiment.load_model(seed).model
        return Attached(PeftModel.from_pretrained(model, str(self.folder), is_trainable=True))


@dataclass(frozen=True, kw_only=True)
class InheritedUnderNewHead(FreshModules):
    """The modules of an adapter with their weights, under the task head of every other training.

    Args:
        folder: of the adapter, which has the same configuration.
    """

    folder: Path

    def attach(self, experiment: Experiment, seed: int, *, steps: int) -> Attached:
        attached = super().attach(experiment, seed, steps=steps)
        heads = tuple(f"base_model.model.{name}." for name in experiment.head)
        saved = load_file(self.folder / "adapter_model.safetensors")
        modules = {key: tensor for key, tensor in saved.items() if not key.startswith(heads)}
        own = get_peft_model_state_dict(attached.model)
        other = modules.keys() ^ {key for key in own if not key.startswith(heads)}
        if other:
            raise ConfigurationError(
                f"The adapter in '{self.folder}' is damaged: its tensors do not fit its settings, see '{min(other)}'."
            )
        set_peft_model_state_dict(attached.model, own | modules)
        return attached


def found_modules(
    configuration: Configuration,
    start: Path,
    *,
    inherits_head: bool,
    name: str,
    method: str,
    notes: tuple[str, ...] = (),
) -> FreshModules:
    """The modules that a search found, starting from the adapter that it hands down, where it does.

    Args:
        configuration: found.
        start: folder of that adapter, which need not exist.
        inherits_head: whether its task head is trained on too; else each seed starts with its own, as by hand.
        name: for progress and logs.
        method: that found it.
        notes: sentences for the user.
    """
    if start.exists():
        inherited = InheritedModules if inherits_head else InheritedUnderNewHead
        return inherited(name, method, notes, configuration=configuration, folder=start)
    return FreshModules(name, method, notes, configuration=configuration)


@dataclass(frozen=True)
class WholeModel(Recipe):
    """Every parameter of the model, with nothing attached."""

    saved_as = MODEL

    def num_parameters(self, experiment: Experiment) -> int:
        return experiment.backbone_parameters

    def attach(self, experiment: Experiment, seed: int, *, steps: int) -> Attached:
        return Attached(experiment.start_model(seed).model)

    def read_configuration(self, saved: Path, experiment: Experiment) -> Configuration:
        return Configuration()


@dataclass(frozen=True, kw_only=True)
class AdaLora(Recipe):
    """The AdaLoRA of peft, whose ranks are known only after the training.

    Args:
        allocation: the sites and the sum of their ranks.
        settings: of AdaLoRA.
    """

    allocation: RankAllocation
    settings: AdaLoraSettings

    def num_parameters(self, experiment: Experiment) -> int:
        return self.allocation.num_parameters

    def attach(self, experiment: Experiment, seed: int, *, steps: int) -> Attached:
        schedule = RankSchedule.of(self.settings, steps)
        loaded = experiment.start_model(seed)
        model = attach_adalora(
            loaded.model,
            self.allocation,
            schedule=schedule,
            settings=self.settings,
            head=loaded.head,
            task_type=experiment.task_format.head.peft_task,
            token_rows=experiment.token_rows.indices,
        )
        return Attached(model, (AllocateRanks(schedule, model),), schedule.select_after_step)

    def read_configuration(self, saved: Path, experiment: Experiment) -> Configuration:
        return read_ranks(saved, experiment.sites)
