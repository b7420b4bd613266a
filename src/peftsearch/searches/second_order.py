"""Second-order architecture steps, which look one weight step ahead as in DARTS.

Source: Liu et al. 2019, "DARTS", eqs 7 and 8, in the form of S3Delta's public code (Hu et al. 2022).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.optim.adamw import adamw

from peftsearch import processes
from peftsearch.errors import TrainingError
from peftsearch.searches.gate_search import AnyTrainer, GateSearch, labels_of_all
from peftsearch.supernet.sensitivity import Saliency, take_saliency
from peftsearch.training.micro_batches import Batch, is_out_of_memory, num_items

# Length of the finite difference's step in the space of the weights.
DIFFERENCE = 0.01

Tensors = list[torch.Tensor]


@dataclass(frozen=True)
class BilevelProblem:
    """Losses and tensors of a bilevel problem: minimise the validation loss of the weights after a training step.

    Args:
        parameters: tensors of the architecture.
        weights: tensors that a training step changes; they are changed in place and restored.
        rates: the learning rate of each of the weights.
        train_loss: computes the training loss at the present weights.
        validation_loss: computes the validation loss at the present weights.
        take_weight_step: changes the weights, given their gradients, and nothing else.
    """

    parameters: Tensors
    weights: Tensors
    rates: Sequence[float]
    train_loss: Callable[[], torch.Tensor]
    validation_loss: Callable[[], torch.Tensor]
    take_weight_step: Callable[[Tensors], None]


class BilevelGradients(NamedTuple):
    """Gradients of one architecture step, at the virtual weights after the next weight step.

    Args:
        own: gradients of the architecture's parameters.
        saliency: virtual weight * gradient of the validation loss, for each of the weights.
        loss: the validation loss.
    """

    own: Tensors
    saliency: Saliency
    loss: torch.Tensor


def second_order_gradients(problem: BilevelProblem) -> BilevelGradients:
    """Compute the gradient of the validation loss at the virtual weights by the architecture, in four passes.

    It is dL_val/d alpha - lr * h, where h = (dL_trn(w + e v)/d alpha - dL_trn(w - e v)/d alpha) / (2 e), v is the
    gradient of L_val by the virtual weights and e = 0.01 / (|v| + 1e-6). Where the learning rate differs between
    weights, lr is the largest one and v is scaled by each weight's rate / lr.
    """
    with restored(problem.weights) as saved:
        problem.take_weight_step(_gradients(problem.train_loss(), problem.weights))
        loss = problem.validation_loss()
        gradients = _gradients(loss, [*problem.parameters, *problem.weights])
        loss = loss.detach().clone()  # frees the memory of the pass
        processes.average([loss])
        own, ahead = gradients[: len(problem.parameters)], gradients[len(problem.parameters) :]
        saliency = take_saliency(problem.weights, ahead)
        rate = max(problem.rates)
        if rate > 0:
            direction = [gradient * (own_rate / rate) for gradient, own_rate in zip(ahead, problem.rates)]
            product = _mixed_product(problem, saved, direction)
            own = [gradient - rate * h for gradient, h in zip(own, product)]
    return BilevelGradients(own, saliency, loss)


def _mixed_product(problem: BilevelProblem, saved: Tensors, direction: Tensors) -> Tensors:
    """Compute d^2 L_trn / (d alpha d w) times a direction, by a central difference around the saved weights."""
    length = float(torch.stack(torch._foreach_norm(direction)).norm())
    step = DIFFERENCE / (length + 1e-6)
    # The same dropout on both sides: otherwise its noise, divided by a small step, drowns the difference.
    with torch.random.fork_rng(sorted({t.device.index for t in saved if t.is_cuda})):
        above = _gradient_at(problem, saved, direction, step)
    below = _gradient_at(problem, saved, direction, -step)
    return [(a - b) / (2 * step) for a, b in zip(above, below)]


def _gradient_at(problem: BilevelProblem, saved: Tensors, direction: Tensors, step: float) -> Tensors:
    with torch.no_grad():
        torch._foreach_copy_(problem.weights, torch._foreach_add(saved, direction, alpha=step))
    return _gradients(problem.train_loss(), problem.parameters)


def _gradients(loss: torch.Tensor, tensors: Tensors) -> Tensors:
    """Compute gradients, the mean over all processes, and zeros where a tensor has no part in the loss.

    Graphs are kept, as losses share the gates.
    """
    found = list(torch.autograd.grad(loss, tensors, retain_graph=True, allow_unused=True, materialize_grads=True))
    processes.average(found)
    return found


@contextmanager
def restored(tensors: Tensors) -> Iterator[Tensors]:
    """Restore the exact values of tensors at the end of the context; yields copies of these values."""
    saved = [tensor.detach().clone() for tensor in tensors]
    try:
        yield saved
    finally:
        with torch.no_grad():
            torch._foreach_copy_(tensors, saved)


@torch.no_grad()
def virtual_adamw_step(optimizer: torch.optim.Optimizer, gradients: Tensors) -> None:
    """Change parameters as the optimizer's next step would, but leave its moments as they are.

    Args:
        optimizer: AdamW.
        gradients: of its parameters, in the order of its groups.
    """
    rest = list(gradients)
    for group in optimizer.param_groups:
        parameters = group["params"]
        own, rest = rest[: len(parameters)], rest[len(parameters) :]
        states = [optimizer.state.get(p) or _fresh_state(p, bool(group["fused"])) for p in parameters]
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            own,
            [state["exp_avg"].clone() for state in states],
            [state["exp_avg_sq"].clone() for state in states],
            [],
            [state["step"].clone() for state in states],
            foreach=group["foreach"],
            fused=group["fused"],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def _fresh_state(parameter: torch.Tensor, is_fused: bool) -> dict[str, torch.Tensor]:
    zeros = torch.zeros_like(parameter)
    # Fused optimizers keep the step count on the parameter's device, others on the CPU.
    return {"exp_avg": zeros, "exp_avg_sq": zeros, "step": torch.zeros((), device=zeros.device if is_fused else "cpu")}


@contextmanager
def _explain_out_of_memory() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            "Out of memory in a second-order architecture step, which is not cut into pieces. Lower "
            "--per_device_train_batch_size and raise --training.gradient_accumulation_steps, or set "
            "--method.order first."
        ) from error


class SecondOrderSearch(GateSearch[AnyTrainer]):
    """A search with second-order architecture steps: five passes a step instead of two.

    Only trained tensors are copied, those of modules and head. All four passes of an architecture step use the same
    sample of the gates, and the training loss is that of the batch on which the weights are trained next.
    """

    def architecture_step(self, model: nn.Module, step: int, inputs: Batch) -> tuple[Saliency, torch.Tensor]:
        model.train()
        device = self.trainer.args.device
        optimizer, batch = self.weight_optimizer, next(self.architecture_batches)
        gates = self._drawn(self.strategy.architecture_gates, step)
        penalty = self.strategy.architecture_penalty(step).to(device)
        weights = [(p, group["lr"]) for group in optimizer.param_groups for p in group["params"]]
        part_of_validation = self._part_of_loss(model, batch)
        problem = BilevelProblem(
            self.strategy.architecture_parameters(step),
            weights=[weight for weight, _ in weights],
            rates=[rate for _, rate in weights],
            train_loss=self._part_of_loss(model, inputs),
            validation_loss=lambda: part_of_validation() + penalty,
            take_weight_step=lambda gradients: virtual_adamw_step(optimizer, gradients),
        )
        with self.supernet.gated(gates), _explain_out_of_memory():
            found = second_order_gradients(problem)
        self._update_architecture(step, found.own)
        position = {id(weight): i for i, (weight, _) in enumerate(weights)}
        return [found.saliency[position[id(tensor)]] for tensor in self._live.tensors], found.loss

    def _part_of_loss(self, model: nn.Module, batch: Batch) -> Callable[[], torch.Tensor]:
        """Make a function whose mean over all processes is the loss of their parts of a batch."""
        share = processes.num_processes() * num_items(batch) / labels_of_all(batch)
        return lambda: self.loss_of(model, batch) * share
