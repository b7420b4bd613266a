"""Run a method that searches by gating a supernet on the encoded examples of a task."""

import math
import time
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset, Subset, random_split
from transformers import Trainer, TrainingArguments

from peftsearch.methods.gate_steps import GateSteps, endless, gated
from peftsearch.methods.gate_strategy import GateStrategy
from peftsearch.methods.importance_log import ImportanceLog
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.form import Form
from peftsearch.training.evaluation import evaluate
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import EncodedSplit, FormTrainer, Phase, length_grouped


def split_in_halves(train: Dataset, seed: int) -> tuple[Subset, Subset]:
    """Two random halves of the training set, for weights and for the architecture; an odd example is dropped."""
    half = len(train) // 2
    generator = torch.Generator().manual_seed(seed)
    weight_half, architecture_half, _ = random_split(train, [half, half, len(train) - 2 * half], generator)
    return weight_half, architecture_half


def all_for_weights(train: Dataset, seed: int) -> tuple[Dataset, Subset]:
    """The whole training set for weights and nothing for the architecture."""
    return train, Subset(train, [])


def planned_steps(num_examples: int, settings: TrainingSettings | TrainingArguments, epochs: float) -> int:
    """Optimizer steps of `epochs` passes over `num_examples`."""
    batch = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    return max(1, math.ceil(math.ceil(num_examples / batch) * epochs))


@dataclass(frozen=True)
class SearchData:
    """What a search reads.

    Args:
        form: how the task is put to the model.
        weight_half: the part of the training set that trains weights.
        architecture_half: the part that trains the architecture.
        validation: what `end_epoch` can score the supernet on.
        metric: name of the metric of that score, larger is better.
    """

    form: Form
    weight_half: Dataset
    architecture_half: Dataset
    validation: EncodedSplit
    metric: str


@dataclass(frozen=True)
class Searched:
    """What a search gave besides its configurations, which the strategy holds.

    Args:
        steps: search steps taken.
        seconds: wall time.
    """

    steps: int
    seconds: float


def make_gate_search(
    supernet: Supernet,
    *,
    strategy: GateStrategy,
    data: SearchData,
    settings: TrainingSettings,
    phase: Phase,
) -> GateSteps:
    """A trainer of encoded examples that takes the strategy's steps; its `train` runs the search.

    Args:
        settings, phase: as for every training; `phase.max_steps` is the planned length.
    """
    trainer_class = gated(strategy.steps, FormTrainer)
    trainer = trainer_class(supernet.model, form=data.form, train=data.weight_half, settings=settings, phase=phase)
    trainer.begin_search(
        supernet,
        strategy=strategy,
        architecture_batches=endless(lambda: _architecture_loader(trainer, data)),
        score=lambda: _score_on_validation(trainer, data),
    )
    trainer.add_callback(ImportanceLog(phase.folder / "importance.jsonl", strategy.importances))
    return trainer


def _architecture_loader(trainer: Trainer, data: SearchData) -> DataLoader:
    args, rank = trainer.args, trainer.accelerator.process_index
    sampler = length_grouped(data.architecture_half, args.train_batch_size, args.seed + 1 + rank)
    return DataLoader(
        data.architecture_half, batch_size=args.train_batch_size, sampler=sampler, collate_fn=data.form.collate
    )


def _score_on_validation(trainer: Trainer, data: SearchData) -> float:
    """The selecting metric on the validation split; it is logged."""
    found = evaluate(
        trainer.model,
        data.form,
        data.validation.examples,
        data.validation.encoded,
        batch_size=trainer.args.per_device_eval_batch_size,
    )
    trainer.log({f"validation_{name}": value for name, value in found.items()})
    return found[data.metric]


def run_gate_search(
    supernet: Supernet,
    *,
    strategy: GateStrategy,
    data: SearchData,
    settings: TrainingSettings,
    phase: Phase,
) -> Searched:
    """Run a search to its end; afterwards `strategy.results()` holds the configurations."""
    started = time.perf_counter()
    strategy.prepare(supernet)
    search = make_gate_search(supernet, strategy=strategy, data=data, settings=settings, phase=phase)
    search.train()
    return Searched(search.state.global_step, time.perf_counter() - started)
