"""The steps of a search over gates, which train an architecture beside the weights of a supernet."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from peftsearch import processes, random_draws
from peftsearch.errors import DataError
from peftsearch.searches.gate_strategy import GateStrategy, Observation
from peftsearch.space import Placement
from peftsearch.supernet.sensitivity import ModuleSaliency, Saliency, take_saliency
from peftsearch.supernet.supernet import Gates, Supernet
from peftsearch.training.micro_batches import Batch, MicroBatches, num_items
from peftsearch.training.trainer import require_finite

# A Trainer's training step: (model, inputs, items in the batch) -> loss.
TrainWeights = Callable[[nn.Module, Batch, Any], torch.Tensor]


AnyTrainer = TypeVar("AnyTrainer", bound=Trainer)


class LiveParameters:
    """The tensors of the live modules in a fixed order, and the module that each belongs to.

    Args:
        supernet: gives the live modules; after a removal a new object is needed.
    """

    def __init__(self, supernet: Supernet):
        self.placements = supernet.live
        by_module = [supernet.parameters_of(placement) for placement in self.placements]
        self.tensors: list[nn.Parameter] = [p for parameters in by_module for p in parameters]
        device = self.tensors[0].device if self.tensors else torch.device("cpu")
        owners = torch.tensor([i for i, parameters in enumerate(by_module) for _ in parameters], device=device)
        sizes = torch.tensor([sum(p.numel() for p in parameters) for parameters in by_module], device=device)
        self.modules = ModuleSaliency(owners, sizes)


class GateSearch(Generic[AnyTrainer]):
    """A search that runs beside a Trainer of a supernet's weights.

    The trainer hands its training step over to `step`, which first trains the architecture on one part of the data and
    then lets the trainer train weights on the other. Loss, batches and optimizer of the weights are the trainer's own.
    The architecture lives outside of the model and its gradients come from `torch.autograd.grad`, which leaves the
    weights' `.grad` alone: neither the weight optimizer nor accumulation see that pass.

    Several processes take the same steps: they draw the same gates, and what the method sees is the mean over all.

    Args:
        trainer: of the supernet's weights; its model is the supernet's.
        supernet: what is searched.
        strategy: the method, prepared.
        architecture_batches: infinite iterator over the batches that train the architecture.
        score: computes the selecting metric of the model under its present gates, larger is better.
        micro_batches: cuts batches of the architecture that do not fit into memory.
    """

    def __init__(
        self,
        trainer: AnyTrainer,
        supernet: Supernet,
        *,
        strategy: GateStrategy,
        architecture_batches: Iterator[Batch],
        score: Callable[[], float],
        micro_batches: MicroBatches,
    ):
        self.trainer, self.supernet, self.strategy = trainer, supernet, strategy
        self.architecture_batches, self.micro_batches = architecture_batches, micro_batches
        self._score = score
        self._live = LiveParameters(supernet)
        self._started = time.perf_counter()
        trainer.add_callback(EndEpoch(self))

    def step(
        self, train_weights: TrainWeights, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Take one search step: train the architecture, then the weights, and let the strategy observe both.

        With gradient accumulation all of this happens at the last micro-step before an optimizer step; the others
        only accumulate gradients of the weights.

        Args:
            train_weights: the trainer's own training step.
            model: first argument of the training step.
            inputs: its second argument, the batch.
            num_items_in_batch: its third argument, the number of items in the batch.

        Returns:
            the loss of the weights.

        Raises:
            TrainingError: if a loss is not finite.
        """
        trainer = self.trainer
        step, updates = trainer.state.global_step, trainer.accelerator.sync_gradients
        validation_saliency = architecture_loss = None
        if updates and self.strategy.has_architecture_step(step):
            validation_saliency, architecture_loss = self.architecture_step(model, step, inputs)
        gates = self._drawn(self.strategy.weight_gates, step)
        with self.supernet.gated(gates):
            loss = train_weights(model, inputs, num_items_in_batch)
        require_finite(loss, step + 1)
        if updates:
            self._observe(step, validation_saliency)
            self._log_step(step, loss, architecture_loss)
            trainer.control.should_training_stop |= self.strategy.finished()
        return loss

    def score(self, gates: Gates) -> float:
        """Compute the selecting metric of the supernet under gates, larger is better."""
        with self.supernet.gated(gates):
            return self._score()

    def architecture_step(self, model: nn.Module, step: int, inputs: Batch) -> tuple[Saliency, torch.Tensor]:
        """Train the architecture on its next batch.

        Args:
            model: the supernet's model, perhaps in a wrapper of the trainer.
            step: counted from 0.
            inputs: the batch on which the weights are trained next.

        Returns:
            the saliency of every live tensor on the architecture's batch, and the loss there.
        """
        # Not only if `model.training` is off: peft's wrapper may be on around a model that is not.
        model.train()
        parameters = self.strategy.architecture_parameters(step)
        gates = self._drawn(self.strategy.architecture_gates, step)
        # The backward pass is inside too: gradient checkpointing runs the forward pass again in it.
        with self.supernet.gated(gates):
            loss, gradients = self._differentiate(
                model,
                next(self.architecture_batches),
                by=[*parameters, *self._live.tensors],
                penalty=self.strategy.architecture_penalty(step),
            )
        own, of_weights = gradients[: len(parameters)], gradients[len(parameters) :]
        self._update_architecture(step, own)
        return take_saliency(self._live.tensors, of_weights), loss

    def _differentiate(
        self, model: nn.Module, batch: Batch, *, by: list[torch.Tensor], penalty: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Compute the loss of a batch, and the gradients of loss and penalty by some tensors, in micro-batches."""
        items = labels_of_all(batch) / processes.num_processes()

        def differentiate(micro_batch: Batch) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
            share = num_items(micro_batch) / items
            loss = self.loss_of(model, micro_batch) * share
            total = loss + penalty.to(loss.device) * share
            # All micro-batches share the graph of the gates.
            keep = self.micro_batches.num_micro_batches > 1
            return loss.detach(), torch.autograd.grad(total, by, allow_unused=True, retain_graph=keep)

        passes = self.micro_batches.each(batch, differentiate, undo=lambda: None)
        gradients = [_add_present([found[i] for _, found in passes]) for i in range(len(by))]
        loss = _add([loss for loss, _ in passes])
        processes.average([loss, *(gradient for gradient in gradients if gradient is not None)])
        return loss, gradients

    def loss_of(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Compute the trainer's loss of this process's part of a batch.

        Raises:
            TrainingError: if the loss is not finite.
        """
        trainer = self.trainer
        batch = trainer._prepare_inputs(batch)
        with trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(model, batch)
        assert isinstance(loss, torch.Tensor)
        require_finite(loss, trainer.state.global_step + 1)
        return loss

    def _drawn(self, draw: Callable[[int, list[Placement], torch.device], Gates], step: int) -> Gates:
        """The gates of a step, drawn alike in all processes; dropout then differs between them."""
        random_draws.draw_alike()
        gates = draw(step, self.supernet.live, self.trainer.args.device)
        random_draws.draw_apart()
        return gates

    def _update_architecture(self, step: int, gradients: Sequence[torch.Tensor | None]) -> None:
        present = [gradient for gradient in gradients if gradient is not None]
        assert len(present) == len(gradients), "every parameter of an architecture has a part in the loss"
        self.strategy.update_architecture(step, present)

    def _observe(self, step: int, validation_saliency: Saliency | None) -> None:
        live = self._live
        weight_saliency = take_saliency(live.tensors, [p.grad for p in live.tensors])
        removed = self.strategy.observe(
            step, Observation(live.placements, live.modules, weight_saliency, validation_saliency)
        )
        names = [[placement.site, placement.kind] for placement in removed]
        processes.require_equal(f"the modules to remove at step {step + 1}", names)
        if removed:
            self._remove(removed)

    def keep_only(self, placements: set[Placement]) -> None:
        """Remove all other modules from the supernet and its optimizer."""
        self._remove([placement for placement in self.supernet.live if placement not in placements])

    def _remove(self, placements: Sequence[Placement]) -> None:
        self._forget(self.supernet.remove(placements))
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
        """The optimizer of the weights, without accelerate's wrapper."""
        optimizer: Any = self.trainer.optimizer
        return getattr(optimizer, "optimizer", optimizer)

    def _log_step(self, step: int, loss: torch.Tensor, architecture_loss: torch.Tensor | None) -> None:
        row = {
            "loss_weights": float(loss.detach()),
            "loss_architecture": None if architecture_loss is None else float(architecture_loss),
            **self.strategy.status(step),
            "seconds": time.perf_counter() - self._started,
        }
        # Trackers warn in every step of values that are no numbers.
        self.trainer.log({name: value for name, value in row.items() if value is not None})


def labels_of_all(batch: Batch) -> int:
    """Count the labels of a batch over all processes; see `num_items`.

    Raises:
        DataError: if none counts, so that the batch has no mean loss.
    """
    items = processes.total(num_items(batch))
    if not items:
        raise DataError(
            "A batch of the search has no label that counts: all are -100. Leave such examples out of the training "
            "set, or make the batches larger."
        )
    return items


def _add(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return sum(tensors[1:], start=tensors[0])


def _add_present(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """Add the tensors that are not None; None if there are none."""
    present = [tensor for tensor in tensors if tensor is not None]
    return _add(present) if present else None


class EndEpoch(TrainerCallback):
    """Calls the strategy's `end_epoch` at the end of every epoch.

    Args:
        search: the search whose strategy is called.
    """

    def __init__(self, search: GateSearch):
        self.search = search

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.search.strategy.end_epoch(self.search.score)
