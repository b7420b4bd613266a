"""The loop of every method that searches by gating a supernet: two passes a step, logging, pruning, stopping."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, random_split
from transformers import TrainerCallback

from peftsearch.methods.gate_strategy import GateStrategy, Observation
from peftsearch.methods.importance_log import ImportanceLog
from peftsearch.supernet.sensitivity import ModuleRecords, Record, take_record
from peftsearch.supernet.supernet import Gates, Supernet
from peftsearch.tasks.form import Form
from peftsearch.training.evaluation import evaluate
from peftsearch.training.settings import TrainingSettings
from peftsearch.training.trainer import EncodedSplit, FormTrainer, Phase, length_grouped, require_finite


def split_in_halves(train: Dataset, seed: int) -> tuple[Subset, Subset]:
    """Two random halves of the training set, for weights and for the architecture; an odd example is dropped."""
    half = len(train) // 2
    generator = torch.Generator().manual_seed(seed)
    weight_half, architecture_half, _ = random_split(train, [half, half, len(train) - 2 * half], generator)
    return weight_half, architecture_half


def all_for_weights(train: Dataset, seed: int) -> tuple[Dataset, Subset]:
    """The whole training set for weights and nothing for the architecture."""
    return train, Subset(train, [])


def planned_steps(num_examples: int, settings: TrainingSettings, epochs: float) -> int:
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


class LiveParameters:
    """The tensors of the live modules in a fixed order, and how they map to modules."""

    def __init__(self, supernet: Supernet):
        self.placements = supernet.live
        by_module = [supernet.parameters_of(placement) for placement in self.placements]
        self.tensors: list[nn.Parameter] = [p for parameters in by_module for p in parameters]
        device = self.tensors[0].device if self.tensors else torch.device("cpu")
        owners = torch.tensor([i for i, parameters in enumerate(by_module) for _ in parameters], device=device)
        sizes = torch.tensor([sum(p.numel() for p in parameters) for parameters in by_module], device=device)
        self.records = ModuleRecords(owners, sizes)


class GateSearch(FormTrainer):
    """Trainer whose step first trains the architecture on one half of the data, then weights on the other.

    The architecture lives outside of the model and its gradients come from `torch.autograd.grad`, which leaves the
    weights' `.grad` alone: neither the weight optimizer nor accumulation nor data-parallel wrappers see that pass.

    Args:
        supernet: what is searched.
        strategy: the method.
        data: the halves.
        settings, phase: as for every training; `phase.max_steps` is the planned length.
    """

    def __init__(
        self,
        supernet: Supernet,
        *,
        strategy: GateStrategy,
        data: SearchData,
        settings: TrainingSettings,
        phase: Phase,
    ):
        super().__init__(supernet.model, form=data.form, train=data.weight_half, settings=settings, phase=phase)
        self.supernet, self.strategy, self.data = supernet, strategy, data
        self.add_callback(EndEpoch(self))
        self.add_callback(ImportanceLog(phase.folder / "importance.jsonl", strategy.importances))
        self._architecture_batches = self._endless_batches(data.architecture_half)
        self._live = LiveParameters(supernet)
        self._started = time.perf_counter()

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One search step; on micro-steps before an optimizer step only the weights' gradients are accumulated."""
        step = self.state.global_step
        updates = self.accelerator.sync_gradients
        validation_record = architecture_loss = None
        if updates and self.strategy.has_architecture_step(step):
            validation_record, architecture_loss = self._architecture_step(model, step, inputs)
        gates = self.strategy.weight_gates(step, self.supernet.live, self.args.device)
        with self.supernet.gated(gates):
            loss = super().training_step(model, inputs, num_items_in_batch)
        if updates:
            self._observe(step, validation_record)
            self._log_step(step, loss, architecture_loss)
            self.control.should_training_stop |= self.strategy.finished()
        return loss

    def score(self, gates: Gates) -> float:
        """The selecting metric of the supernet under gates on the validation split; it is logged."""
        validation = self.data.validation
        batch_size = self.args.per_device_eval_batch_size
        with self.supernet.gated(gates):
            found = evaluate(self.model, self.form, validation.examples, validation.encoded, batch_size=batch_size)
        self.log({f"validation_{name}": value for name, value in found.items()})
        return found[self.data.metric]

    def _architecture_step(self, model: nn.Module, step: int, inputs: dict[str, Any]) -> tuple[Record, torch.Tensor]:
        """Train the architecture once; `inputs` is the batch that the weights are trained on next."""
        model.train()
        parameters = self.strategy.architecture_parameters(step)
        gates = self.strategy.architecture_gates(step, self.supernet.live, self.args.device)
        # The backward pass is inside too: gradient checkpointing runs the forward pass again in it.
        with self.supernet.gated(gates):
            loss = self._loss_of(model, next(self._architecture_batches))
            total = loss + self.strategy.architecture_penalty(step).to(loss.device)
            gradients = torch.autograd.grad(total, [*parameters, *self._live.tensors], allow_unused=True)
        own, of_weights = gradients[: len(parameters)], gradients[len(parameters) :]
        self._update_architecture(step, own)
        return take_record(self._live.tensors, of_weights), loss.detach()

    def _loss_of(self, model: nn.Module, batch: dict[str, Any]) -> torch.Tensor:
        batch = self._prepare_inputs(batch)
        with self.accelerator.no_sync(model), self.compute_loss_context_manager():
            loss = self.compute_loss(model, batch)
        require_finite(loss, self.state.global_step + 1)
        return loss

    def _update_architecture(self, step: int, gradients: Sequence[torch.Tensor]) -> None:
        self.strategy.update_architecture(step, [self.accelerator.reduce(g, reduction="mean") for g in gradients])

    def _observe(self, step: int, validation_record: Record | None) -> None:
        live = self._live
        weight_record = take_record(live.tensors, [p.grad for p in live.tensors])
        removed = self.strategy.observe(
            step, Observation(live.placements, live.records, weight_record, validation_record)
        )
        if removed:
            self._forget(self.supernet.remove(removed))
            self._live = LiveParameters(self.supernet)

    def _forget(self, parameters: list[nn.Parameter]) -> None:
        """Drop removed parameters and their moments from the optimizer."""
        gone = {id(parameter) for parameter in parameters}
        optimizer = self.weight_optimizer
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in gone]
        for parameter in parameters:
            optimizer.state.pop(parameter, None)

    @property
    def weight_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer of the weights itself, without accelerate's wrapper."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _endless_batches(self, dataset: Dataset) -> Iterator[dict[str, torch.Tensor]]:
        """Batches for ever, newly shuffled in each pass.

        The loader is not prepared by accelerate: a prepared loader that never ends hides the end of the training
        loader's epoch and with it the last gradient synchronisation.
        """
        rank = self.accelerator.process_index
        sampler = length_grouped(dataset, self.args.train_batch_size, self.args.seed + 1 + rank)
        loader = DataLoader(
            dataset, batch_size=self.args.train_batch_size, sampler=sampler, collate_fn=self.form.collate
        )
        while True:
            yield from loader

    def _log_step(self, step: int, loss: torch.Tensor, architecture_loss: torch.Tensor | None) -> None:
        row = {
            "loss_weights": float(loss.detach()),
            "loss_architecture": None if architecture_loss is None else float(architecture_loss),
            **self.strategy.status(step),
            "seconds": time.perf_counter() - self._started,
        }
        # Trackers complain about what is no number in every step.
        self.log({name: value for name, value in row.items() if value is not None})


class EndEpoch(TrainerCallback):
    """Tell the strategy that an epoch has ended."""

    def __init__(self, search: GateSearch):
        self.search = search

    def on_epoch_end(self, args, state, control, **_) -> None:
        self.search.strategy.end_epoch(self.search.score)


@dataclass(frozen=True)
class Searched:
    """What a search gave besides its configurations, which the strategy holds.

    Args:
        steps: search steps taken.
        seconds: wall time.
    """

    steps: int
    seconds: float


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
    search = strategy.search_class(supernet, strategy=strategy, data=data, settings=settings, phase=phase)
    search.train()
    return Searched(search.state.global_step, time.perf_counter() - started)
