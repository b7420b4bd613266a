"""Gate searches on the encoded examples of a task, with checkpoints."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from peftsearch.searches.gate_driver import SearchHost
from peftsearch.searches.gate_search import GateSearch
from peftsearch.searches.importance_log import ImportanceLog
from peftsearch.space import Placement
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.arguments import Phase
from peftsearch.training.batches import OwnSlices, RepeatableBatches, length_grouped
from peftsearch.training.evaluation import evaluate_for
from peftsearch.training.log_file import LogFile
from peftsearch.training.micro_batches import Batch, MicroBatches
from peftsearch.training.pytree import PyTree
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import TaskTrainer


@dataclass(frozen=True)
class SearchData:
    """The data of a search.

    Args:
        task_format: encodes the task's examples and scores predictions.
        weight_half: the part of the training set that trains weights.
        architecture_half: the part that trains the architecture.
        validation: examples on which methods can score the supernet.
        metric: name of the selecting metric.
    """

    task_format: TaskFormat
    weight_half: Dataset
    architecture_half: Dataset
    validation: EncodedSplit
    metric: str


class SupernetTrainer(TaskTrainer):
    """A trainer on encoded examples that takes the steps of a search; set `search` before training."""

    search: GateSearch

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: object = None) -> torch.Tensor:
        """Take one step of the search."""
        return self.search.step(super().training_step, model, inputs, num_items_in_batch)


@dataclass(frozen=True)
class TaskHost(SearchHost[SupernetTrainer]):
    """The surroundings of a search in a run of peftsearch: a task's data, logs and checkpoints in a folder.

    Args:
        data: the task's data.
        settings: of the training, which hold for the search too.
        phase: name, folder, seed and planned steps of the search.
    """

    data: SearchData
    settings: TrainingSettings
    phase: Phase

    def make_trainer(self, supernet: Supernet) -> SupernetTrainer:
        return SupernetTrainer(
            supernet.model,
            task_format=self.data.task_format,
            train=self.data.weight_half,
            settings=self.settings,
            phase=self.phase,
        )

    def architecture_batches(self, trainer: SupernetTrainer) -> Iterator[Batch]:
        return RepeatableBatches(lambda: self._architecture_loader(trainer))

    def _architecture_loader(self, trainer: SupernetTrainer) -> DataLoader:
        half, args = self.data.architecture_half, trainer.args
        sampler = length_grouped(half, args.train_batch_size, args.seed + 1)
        slices = OwnSlices(sampler, args.train_batch_size)
        return DataLoader(half, batch_sampler=slices, collate_fn=self.data.task_format.collate)

    def micro_batches(self, trainer: SupernetTrainer) -> MicroBatches:
        return trainer.micro_batches

    def score(self, trainer: SupernetTrainer) -> float:
        """Compute the selecting metric on the validation split, turned so that larger is better; log all others."""
        data = self.data
        assert trainer.model is not None
        batch_size = trainer.args.per_device_eval_batch_size
        found = evaluate_for(
            data.metric, trainer.model, data.task_format, data.validation, batch_size=batch_size
        ).metrics
        trainer.log({f"validation_{name}": value for name, value in found.items()})
        return METRICS[data.metric].merit(found[data.metric])

    def run(self, search: GateSearch[SupernetTrainer]) -> None:
        self.watch(search).resume()

    def watch(self, search: GateSearch[SupernetTrainer]) -> SupernetTrainer:
        """Make a search's trainer take the steps of the search, log its importances and save its state."""
        trainer = search.trainer
        trainer.search = search
        importances = LogFile(self.phase.folder / "importance.jsonl")
        trainer.add_callback(ImportanceLog(importances, search.strategy.importances))
        trainer.stateful_parts |= {"search": SearchState(search), "importances": importances}
        return trainer


class SearchState:
    """The state of a search besides the weights: live modules, the strategy's state, the architecture's batches.

    Args:
        search: a search of a `TaskHost`; its trainer must have an optimizer when a state is loaded.
    """

    def __init__(self, search: GateSearch):
        self.search = search

    @property
    def _batches(self) -> RepeatableBatches:
        batches = self.search.architecture_batches
        assert isinstance(batches, RepeatableBatches)
        return batches

    def state_dict(self) -> PyTree:
        """Return the live modules, the strategy's state and the number of batches taken."""
        live = [[placement.site, placement.kind] for placement in self.search.supernet.live]
        return {"live": live, "strategy": self.search.strategy.state_dict(), "batches": self._batches.state_dict()}

    def load_state_dict(self, state: PyTree) -> None:
        """Remove the modules that are not live, and restore strategy and batches."""
        self.search.keep_only({Placement(*row) for row in state["live"]})
        self.search.strategy.load_state_dict(state["strategy"])
        self._batches.load_state_dict(state["batches"])
