"""Run a method that searches by gating a supernet on the encoded examples of a task."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.data import DataLoader, Dataset, Subset, random_split
from transformers import Trainer, TrainingArguments

from peftsearch.searches.gate_steps import GateSteps, endless, gated
from peftsearch.searches.gate_strategy import GateStrategy
from peftsearch.searches.importance_log import ImportanceLog
from peftsearch.searches.method import MethodSettings
from peftsearch.space import Placement
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.arguments import Phase
from peftsearch.training.batches import length_grouped
from peftsearch.training.evaluation import evaluate
from peftsearch.training.log_file import LogFile
from peftsearch.training.micro_batches import Batch
from peftsearch.training.pytree import PyTree
from peftsearch.training.resuming import skip_passes
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import TaskTrainer


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


def search_steps(num_examples: int, settings: TrainingSettings | TrainingArguments, method: MethodSettings) -> int:
    """Optimizer steps that a search over `num_examples` is planned for."""
    per_epoch = planned_steps(num_examples, settings, 1)
    return planned_steps(num_examples, settings, method.planned_epochs(settings.num_train_epochs, per_epoch))


@dataclass(frozen=True)
class SearchData:
    """What a search reads.

    Args:
        task_format: how the task is put to the model.
        weight_half: the part of the training set that trains weights.
        architecture_half: the part that trains the architecture.
        validation: what `end_epoch` can score the supernet on.
        metric: name of the metric of that score, larger is better.
    """

    task_format: TaskFormat
    weight_half: Dataset
    architecture_half: Dataset
    validation: EncodedSplit
    metric: str


@dataclass(frozen=True)
class Searched:
    """What a search gave besides its configurations, which the strategy holds.

    Args:
        steps: search steps taken.
        seconds: wall time, earlier parts of the search included.
        num_micro_batches: pieces that each batch was cut into at the end, since memory did not hold it.
    """

    steps: int
    seconds: float
    num_micro_batches: int = 1


def make_gate_search(
    supernet: Supernet,
    *,
    strategy: GateStrategy,
    data: SearchData,
    settings: TrainingSettings,
    phase: Phase,
) -> GateSteps:
    """A trainer of encoded examples that takes the strategy's steps; its `resume` runs the search, or goes on with it.

    Args:
        settings, phase: as for every training; `phase.max_steps` is the planned length.
    """
    trainer_class = gated(strategy.steps, TaskTrainer)
    trainer = trainer_class(
        supernet.model, task_format=data.task_format, train=data.weight_half, settings=settings, phase=phase
    )
    batches = RepeatableBatches(lambda: _architecture_loader(trainer, data))
    trainer.begin_search(
        supernet,
        strategy=strategy,
        architecture_batches=batches,
        score=lambda: _score_on_validation(trainer, data),
        micro_batches=trainer.micro_batches,
    )
    importances = LogFile(phase.folder / "importance.jsonl")
    trainer.add_callback(ImportanceLog(importances, strategy.importances))
    trainer.parts |= {"search": SearchState(trainer, batches), "importances": importances}
    return trainer


class RepeatableBatches(Iterator[Batch]):
    """Batches without end that can be had again from any of them on.

    Args:
        make_loader: called when the first batch is wanted; its sampler draws from a generator of its own.
    """

    def __init__(self, make_loader: Callable[[], DataLoader]):
        self._loader = cache(make_loader)
        self._batches = endless(self._loader)
        self._num_taken = 0

    def __next__(self) -> Batch:
        self._num_taken += 1
        return next(self._batches)

    def state_dict(self) -> int:
        """How many batches have been taken."""
        return self._num_taken

    def load_state_dict(self, state: int) -> None:
        """Pass over as many."""
        if state:
            # The next pass starts when its first batch is wanted.
            passes, rest = divmod(state - 1, len(self._loader()))
            skip_passes(self._loader().sampler, passes)
            for _ in range(rest + 1):
                next(self._batches)
        self._num_taken = state


class SearchState:
    """What a search has besides the weights: modules that are left, the method's own state, the other half's batches.

    Args:
        search: gets the state when it has an optimizer.
        batches: for the architecture.
    """

    def __init__(self, search: GateSteps, batches: RepeatableBatches):
        self.search, self.batches = search, batches

    def state_dict(self) -> PyTree:
        live = [[placement.site, placement.kind] for placement in self.search.supernet.live]
        return {"live": live, "strategy": self.search.strategy.state_dict(), "batches": self.batches.state_dict()}

    def load_state_dict(self, state: PyTree) -> None:
        self.search.keep_only({Placement(*row) for row in state["live"]})
        self.search.strategy.load_state_dict(state["strategy"])
        self.batches.load_state_dict(state["batches"])


def _architecture_loader(trainer: Trainer, data: SearchData) -> DataLoader:
    args, rank = trainer.args, trainer.accelerator.process_index
    sampler = length_grouped(data.architecture_half, args.train_batch_size, args.seed + 1 + rank)
    return DataLoader(
        data.architecture_half, batch_size=args.train_batch_size, sampler=sampler, collate_fn=data.task_format.collate
    )


def _score_on_validation(trainer: Trainer, data: SearchData) -> float:
    """The selecting metric on the validation split; it is logged."""
    found = evaluate(
        trainer.model,
        data.task_format,
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
    """Run a search to its end, from its last checkpoint if it was interrupted.

    Afterwards `strategy.results()` holds the configurations.
    """
    strategy.prepare(supernet)
    search = make_gate_search(supernet, strategy=strategy, data=data, settings=settings, phase=phase)
    search.resume()
    return Searched(search.state.global_step, search.seconds, search.micro_batches.num_micro_batches)
