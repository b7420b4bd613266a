"""A running search over gates: its steps train an architecture beside the weights of a supernet."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainerCallback

from peftsearch.searches.gate_strategy import GateStrategy, Observation
from peftsearch.space import Placement
from peftsearch.supernet.sensitivity import ModuleSaliency, Saliency, take_saliency
from peftsearch.supernet.supernet import Gates, Supernet
from peftsearch.training.micro_batches import Batch, MicroBatches, num_items
from peftsearch.training.trainer import require_finite

# A Trainer's training step: (model, inputs, items in the batch) -> loss.
TrainWeights = Callable[[nn.Module, Batch, Any], torch.Tensor]


class LiveParameters:
    """The tensors of the live modules in a fixed order, and how they map to modules."""

    def __init__(self, supernet: Supernet):
        self.placements = supernet.live
        by_module = [supernet.parameters_of(placement) for placement in self.placements]
        self.tensors: list[nn.Parameter] = [p for parameters in by_module for p in parameters]
        device = self.tensors[0].device if self.tensors else torch.device("cpu")
        owners = torch.tensor([i for i, parameters in enumerate(by_module) for _ in parameters], device=device)
        sizes = torch.tensor([sum(p.numel() for p in parameters) for parameters in by_module], device=device)
        self.modules = ModuleSaliency(owners, sizes)


class GateSearch:
    """A search that runs beside a Trainer of a supernet's weights.

    The trainer hands its training step over to `step`, which first trains the architecture on one part of the data and
    then lets the trainer train weights on the other. Loss, batches and optimizer of the weights are the trainer's own.
    The architecture lives outside of the model and its gradients come from `torch.autograd.grad`, which leaves the
    weights' `.grad` alone: neither the weight optimizer nor accumulation nor data-parallel wrappers see that pass.

    Args:
        trainer: of the supernet's weights; its model is the supernet's.
        supernet: what is searched.
        strategy: the method, prepared.
        architecture_batches: batches without end for the architecture; see `endless`.
        score: computes the selecting metric of the model as it stands, larger is better.
        micro_batches: how batches of the architecture are cut where memory does not hold them.
    """

    def __init__(
        self,
        trainer: Trainer,
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

    def step(self, train_weights: TrainWeights, model: nn.Module, inputs: Batch, num_items: Any) -> torch.Tensor:
        """Take one search step; on micro-steps before an optimizer step only the weights' gradients are accumulated.

        Args:
            train_weights: the trainer's own training step.
            model, inputs, num_items: its arguments.

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
        gates = self.strategy.weight_gates(step, self.supernet.live, trainer.args.device)
        with self.supernet.gated(gates):
            loss = train_weights(model, inputs, num_items)
        require_finite(loss, step + 1)
        if updates:
            self._observe(step, validation_saliency)
            self._log_step(step, loss, architecture_loss)
            trainer.control.should_training_stop |= self.strategy.finished()
        return loss

    def score(self, gates: Gates) -> float:
        """The selecting metric of the supernet under gates."""
        with self.supernet.gated(gates):
            return self._score()

    def architecture_step(self, model: nn.Module, step: int, inputs: Batch) -> tuple[Saliency, torch.Tensor]:
        """Train the architecture once; `inputs` is the batch that the weights are trained on next.

        Returns:
            the saliency of every live tensor on the architecture's batch, and the loss there.
        """
        # Not only if `model.training` is off: peft's wrapper may be on around a model that is not.
        model.train()
        parameters = self.strategy.architecture_parameters(step)
        gates = self.strategy.architecture_gates(step, self.supernet.live, self.trainer.args.device)
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
        """The loss of a batch, and the gradients of loss and penalty; in pieces where memory does not hold it all."""
        items = num_items(batch)

        def pass_through(piece: Batch) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
            share = num_items(piece) / items
            loss = self.loss_of(model, piece) * share
            total = loss + penalty.to(loss.device) * share
            # All pieces share the graph of the gates.
            keep = self.micro_batches.num_micro_batches > 1
            return loss.detach(), torch.autograd.grad(total, by, allow_unused=True, retain_graph=keep)

        passes = self.micro_batches.each(batch, pass_through, undo=lambda: None)
        gradients = [_add([found[i] for _, found in passes]) for i in range(len(by))]
        return _add([loss for loss, _ in passes]), gradients

    def loss_of(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The trainer's loss of a batch, without letting processes wait for each other's gradients."""
        trainer = self.trainer
        batch = trainer._prepare_inputs(batch)
        with trainer.accelerator.no_sync(model), trainer.compute_loss_context_manager():
            loss = trainer.compute_loss(model, batch)
        require_finite(loss, trainer.state.global_step + 1)
        return loss

    def _update_architecture(self, step: int, gradients: Sequence[torch.Tensor]) -> None:
        reduce = self.trainer.accelerator.reduce
        self.strategy.update_architecture(step, [reduce(gradient, reduction="mean") for gradient in gradients])

    def _observe(self, step: int, validation_saliency: Saliency | None) -> None:
        live = self._live
        weight_saliency = take_saliency(live.tensors, [p.grad for p in live.tensors])
        removed = self.strategy.observe(
            step, Observation(live.placements, live.modules, weight_saliency, validation_saliency)
        )
        if removed:
            self._remove(removed)

    def keep_only(self, placements: set[Placement]) -> None:
        """Remove every other module, as an interrupted search had done."""
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
        """The optimizer of the weights itself, without accelerate's wrapper."""
        return getattr(self.trainer.optimizer, "optimizer", self.trainer.optimizer)

    def _log_step(self, step: int, loss: torch.Tensor, architecture_loss: torch.Tensor | None) -> None:
        row = {
            "loss_weights": float(loss.detach()),
            "loss_architecture": None if architecture_loss is None else float(architecture_loss),
            **self.strategy.status(step),
            "seconds": time.perf_counter() - self._started,
        }
        # Trackers complain about what is no number in every step.
        self.trainer.log({name: value for name, value in row.items() if value is not None})


def _add(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """The sum of those that there are."""
    present = [tensor for tensor in tensors if tensor is not None]
    return sum(present[1:], start=present[0]) if present else None


class EndEpoch(TrainerCallback):
    """Tell the strategy that an epoch has ended."""

    def __init__(self, search: GateSearch):
        self.search = search

    def on_epoch_end(self, args, state, control, **_) -> None:
        self.search.strategy.end_epoch(self.search.score)
