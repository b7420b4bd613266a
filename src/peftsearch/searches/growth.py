"""The interface of methods that grow a configuration in stages by the gradients of what could be added."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch

from peftsearch.modules.peft_module import PeftModule
from peftsearch.space import Configuration, Placement
from peftsearch.supernet.supernet import Supernet

# Tensors of a module by name, as they are attached.
ModuleTensors = dict[str, torch.Tensor]
# Gradients of some tensors of a model, averaged over each part of the examples: one list for each part.
Gradients = Callable[[Sequence[torch.Tensor]], list[list[torch.Tensor]]]


@dataclass(frozen=True)
class Grown:
    """Modules with their weights.

    Args:
        configuration: the modules.
        tensors: weights of each; without those that are newly drawn.
    """

    configuration: Configuration = field(default_factory=Configuration)
    tensors: dict[Placement, ModuleTensors] = field(default_factory=dict)


@torch.no_grad()
def leading(module: PeftModule, rank: int) -> ModuleTensors:
    """The tensors of a module's leading components."""
    cut = {}
    for name, tensor in module.named_parameters():
        axis = module.rank_axes.get(name)
        cut[name] = (tensor if axis is None else tensor.narrow(axis, 0, rank)).clone()
    return cut


@torch.no_grad()
def put_leading(module: PeftModule, tensors: ModuleTensors) -> None:
    """Put tensors of at most a module's rank into its leading components."""
    for name, parameter in module.named_parameters():
        parameter[tuple(slice(0, length) for length in tensors[name].shape)] = tensors[name].to(parameter)


class Stage(NamedTuple):
    """One addition of units.

    Args:
        budget: parameters that all units have at its end at most.
        steps: optimizer steps that train them afterwards; 0 after the last stage.
    """

    budget: int
    steps: int


class Grower(Protocol):
    """A method that grows configurations; made with (space, budgets=, settings=, seed=)."""

    # Training examples of each pass whose gradients it wants; 0 for half of all.
    num_examples: int

    def stages(self) -> list[Stage]:
        """The stages, by ascending budget; one ends at each budget of the search."""
        ...

    def candidates(self, held: Configuration) -> Configuration:
        """The modules that are attached to measure what could be added to those that are there."""
        ...

    def grow(self, supernet: Supernet, held: Grown, gradients: tuple[Gradients, Gradients], *, budget: int) -> Grown:
        """Add units up to a budget, at their start: without effect on the output.

        Args:
            supernet: with the candidates attached, newly drawn.
            held: what is there already.
            gradients: of the training loss, at the supernet's weights as they are when one is called; each of the two
                over examples of its own.
            budget: parameters.
        """
        ...

    def restart(self, grown: Grown) -> Grown:
        """Take away what was trained: the same modules, without effect.

        Returns:
            the modules with the weights that they keep; all others are drawn anew.
        """
        ...
