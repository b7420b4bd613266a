"""The loop of every method that gates a supernet, in a run of ours or in a user's own Trainer."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch.utils.data import Dataset, Subset, random_split
from transformers import Trainer, TrainingArguments

from peftsearch.searches.gate_search import GateSearch
from peftsearch.searches.gate_strategy import GateStrategy
from peftsearch.searches.method import MethodSettings
from peftsearch.searches.second_order import SecondOrderSearch
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.micro_batches import Batch, MicroBatches
from peftsearch.training.settings import TrainingSettings, planned_steps


class SearchHost(Protocol):
    """Where a search runs: it gives a Trainer for the supernet's weights, and data."""

    def make_trainer(self, supernet: Supernet) -> Trainer:
        """Make the trainer; its `training_step` hands over to `search.step` once `start` has named the search."""
        ...

    def architecture_batches(self, trainer: Trainer) -> Iterator[Batch]:
        """Batches without end of the part of the data that trains the architecture."""
        ...

    def micro_batches(self, trainer: Trainer) -> MicroBatches:
        """How batches of the architecture are cut."""
        ...

    def score(self, trainer: Trainer) -> float:
        """The selecting metric of the model as it stands, larger is better."""
        ...

    def run(self, search: GateSearch) -> None:
        """Train to the end of the search, or go on with an interrupted one."""
        ...


def run_gate_search(host: SearchHost, supernet: Supernet, strategy: GateStrategy) -> GateSearch:
    """Run a search to its end; afterwards `strategy.results()` holds the configurations.

    Args:
        host: gives trainer and data.
        supernet: every module of the space, attached.
        strategy: a new one.
    """
    search = start_gate_search(host, supernet, strategy)
    host.run(search)
    return search


def start_gate_search(host: SearchHost, supernet: Supernet, strategy: GateStrategy) -> GateSearch:
    """Prepare a search up to its first step; arguments as in `run_gate_search`."""
    strategy.prepare(supernet)
    trainer = host.make_trainer(supernet)
    kind = SecondOrderSearch if strategy.is_second_order else GateSearch
    return kind(
        trainer,
        supernet,
        strategy=strategy,
        architecture_batches=host.architecture_batches(trainer),
        score=lambda: host.score(trainer),
        micro_batches=host.micro_batches(trainer),
    )


def split_training_set(train: Dataset, strategy: type[GateStrategy], seed: int) -> tuple[Dataset, Subset]:
    """Parts of the training set for the weights and for the architecture, as the method shares them."""
    return split_in_halves(train, seed) if strategy.split == "halves" else (train, Subset(train, []))


def split_in_halves(train: Dataset, seed: int) -> tuple[Subset, Subset]:
    """Two random halves of the training set, for weights and for the architecture; an odd example is dropped."""
    half = len(train) // 2
    generator = torch.Generator().manual_seed(seed)
    weight_half, architecture_half, _ = random_split(train, [half, half, len(train) - 2 * half], generator)
    return weight_half, architecture_half


def search_steps(num_examples: int, settings: TrainingSettings | TrainingArguments, method: MethodSettings) -> int:
    """Optimizer steps that a search over `num_examples` is planned for."""
    per_epoch = planned_steps(num_examples, settings, 1)
    return planned_steps(num_examples, settings, method.planned_epochs(settings.num_train_epochs, per_epoch))
