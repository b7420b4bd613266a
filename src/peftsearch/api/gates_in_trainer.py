"""Methods that gate a supernet, inside of a user's Trainer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Subset
from transformers import Trainer

from peftsearch import processes
from peftsearch.api.shared_out import SharedOut
from peftsearch.api.trainer_copy import copy_for, prepare_search, unwrapped
from peftsearch.errors import DataError
from peftsearch.searches.gate_search import GateSearch, TrainWeights
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.batches import OwnSlices, endless
from peftsearch.training.callbacks import ShowProgress
from peftsearch.training.micro_batches import Batch, MicroBatches
from peftsearch.training.trainer import mean_over_processes


@dataclass(frozen=True)
class TrainerHost:
    """Host of a search in a user's Trainer: a copy of it trains the supernet, with its loss and data.

    Args:
        trainer: the user's; it stays as it is.
        weight_half: the part of its training set that trains weights.
        architecture_half: the part that trains the architecture.
        num_steps: optimizer steps of the search.
        counts: of the progress line; see `ShowProgress`.
    """

    trainer: Trainer
    weight_half: Dataset
    architecture_half: Subset
    num_steps: int
    counts: Mapping[str, str]

    def make_trainer(self, supernet: Supernet) -> Trainer:
        search = copy_for(supernet.model, self.trainer)
        log = Path(str(self.trainer.args.output_dir)) / "search" / "log.jsonl"
        prepare_search(search, num_steps=self.num_steps, log=log, progress=ShowProgress("search", self.counts))
        search.train_dataset = self.weight_half
        return search

    def architecture_batches(self, trainer: Trainer) -> Iterator[Batch]:
        return endless(lambda: _loader(trainer, self.architecture_half))

    def micro_batches(self, trainer: Trainer) -> MicroBatches:
        return MicroBatches()

    def score(self, trainer: Trainer) -> float:
        return _score(trainer)

    def run(self, search: GateSearch) -> None:
        trainer = search.trainer
        # Around the whole step of the user's class, whatever of it that class has made its own.
        takes_mean = isinstance(trainer, SharedOut) and trainer.is_shared_out
        step = trainer.training_step if takes_mean else _averaged(trainer, trainer.training_step)
        trainer.training_step = partial(search.step, step)
        processes.share([parameter for parameter in search.supernet.model.parameters() if parameter.requires_grad])
        with unwrapped(trainer):
            trainer.train()


def _averaged(trainer: Trainer, step: TrainWeights) -> TrainWeights:
    """Let a training step end with the mean of loss and gradients over all processes."""

    def train(model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        return mean_over_processes(trainer, step(model, inputs, num_items_in_batch))

    return train


def _loader(search: Trainer, dataset: Subset) -> DataLoader:
    """Load this process's part of the architecture's half in batches, collated as the Trainer's own."""
    args = search.args
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(args.seed + 1))
    return DataLoader(
        dataset,
        batch_sampler=OwnSlices(sampler, args.train_batch_size * processes.num_processes()),
        collate_fn=search._get_collator_with_removed_columns(search.data_collator, "architecture"),
    )


def _score(search: Trainer) -> float:
    """Score the model on the evaluation set by `args.metric_for_best_model`, by default the loss; larger is better.

    Raises:
        DataError: if there is no evaluation set, or no such metric.
    """
    if search.eval_dataset is None:
        raise DataError("The method scores each epoch of the search on an evaluation set. Give eval_dataset.")
    name = search.args.metric_for_best_model or "loss"
    name = name if name.startswith("eval_") else f"eval_{name}"
    found = search.evaluate()
    if name not in found:
        raise DataError(f"There is no metric '{name}'. Set args.metric_for_best_model to one of {', '.join(found)}.")
    is_larger_better = search.args.greater_is_better
    if is_larger_better is None:
        is_larger_better = not name.endswith("loss")
    return found[name] if is_larger_better else -found[name]
