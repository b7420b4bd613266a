"""The loop of every method that gates a supernet, in a run of peftsearch or in a user's own Trainer."""

from collections.abc import Iterator, Sized
from typing import Protocol, TypeVar

import torch
from torch.utils.data import Dataset, Subset, random_split
from transformers import TrainingArguments

from peftsearch.searches.gate_search import AnyTrainer, GateSearch
from peftsearch.searches.gate_strategy import GateStrategy
from peftsearch.searches.method import MethodSettings
from peftsearch.searches.second_order import SecondOrderSearch
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.micro_batches import Batch, MicroBatches
from peftsearch.training.settings import TrainingSettings, planned_steps

AnyDataset = TypeVar("AnyDataset", bound=Dataset)


class SearchHost(Protocol[AnyTrainer]):
    """The surroundings of a search: a Trainer for the supernet's weights, and the data."""

    def make_trainer(self, supernet: Supernet) -> AnyTrainer:
        """Make the trainer of the supernet's weights."""
        ...

    def architecture_batches(self, trainer: AnyTrainer) -> Iterator[Batch]:
        """Make an infinite iterator over batches of the data that trains the architecture."""
        ...

    def micro_batches(self, trainer: AnyTrainer) -> MicroBatches:
        """Return the object that cuts batches of the architecture into micro-batches."""
        ...

    def score(self, trainer: AnyTrainer) -> float:
        """Compute the selecting metric of the model under its present gates, larger is better."""
        ...

    def run(self, search: GateSearch[AnyTrainer]) -> None:
        """Make every training step of `search.trainer` call `search.step`, and train or resume to the end."""
        ...


def run_gate_search(
    host: SearchHost[AnyTrainer], supernet: Supernet, strategy: GateStrategy
) -> GateSearch[AnyTrainer]:
    """Run a search to its end; afterwards `strategy.results()` returns the configurations.

    Args:
        host: gives trainer and data.
        supernet: a new one, with every module of the space.
        strategy: a new one, for the supernet's space.
    """
    search = start_gate_search(host, supernet, strategy)
    host.run(search)
    return search


def start_gate_search(
    host: SearchHost[AnyTrainer], supernet: Supernet, strategy: GateStrategy
) -> GateSearch[AnyTrainer]:
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


def split_training_set(
    train: AnyDataset, strategy: type[GateStrategy], seed: int
) -> tuple[AnyDataset | Subset, Subset]:
    """Split the training set as a method needs it.

    Args:
        train: a dataset with a length.
        strategy: class of the method.
        seed: of the random split.

    Returns:
        the data that trains weights, and the data that trains the architecture; the latter may be empty.
    """
    return split_in_halves(train, seed) if strategy.split == "halves" else (train, Subset(train, []))


def split_in_halves(train: Dataset, seed: int) -> tuple[Subset, Subset]:
    """Split a dataset with a length into two random halves; of an odd number of examples one is dropped."""
    assert isinstance(train, Sized), "callers refuse a training set without a length"
    half = len(train) // 2
    generator = torch.Generator().manual_seed(seed)
    weight_half, architecture_half, _ = random_split(train, [half, half, len(train) - 2 * half], generator)
    return weight_half, architecture_half


def search_steps(num_examples: int, settings: TrainingSettings | TrainingArguments, method: MethodSettings) -> int:
    """Plan the optimizer steps of a search.

    Args:
        num_examples: examples that train weights.
        settings: of the training; the search has its batch size and accumulation, and its epochs by default.
        method: settings of the method, which may set the epochs.
    """
    per_epoch = planned_steps(num_examples, settings, 1)
    return planned_steps(num_examples, settings, method.planned_epochs(settings.num_train_epochs, per_epoch))
