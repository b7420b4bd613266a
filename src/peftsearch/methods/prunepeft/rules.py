"""The rules of PrunePEFT as pure functions: the units of pruning, their scores and their order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from peftsearch.modules.peft_module import PeftModule
from peftsearch.space import Configuration, Placement
from peftsearch.supernet.sensitivity import Saliency

# For each tensor of a module, its axis of components; None where all components share it.
ComponentAxes = tuple[int | None, ...]


@dataclass(frozen=True)
class PruningUnit:
    """The smallest part that is kept or pruned: a component of a module, or a whole module.

    Args:
        placement: the module that it is part of; a module with k kept units has rank k.
        score: how much the loss depends on it for each of its parameters.
    """

    placement: Placement
    score: float


def component_axes(module: PeftModule) -> ComponentAxes:
    """Find the axis of components of each tensor, in the order of `module.parameters()`."""
    return tuple(module.rank_axes.get(name) for name, _ in module.named_parameters())


def score_of_module(sums: Sequence[torch.Tensor], axes: ComponentAxes) -> list[float]:
    """Compute the sum over the module / its parameters, the score of a module that is a single unit.

    Args:
        sums: for each tensor of the module, the sum of its scores over the steps, in the tensor's shape.
        axes: not used.
    """
    return [float(sum(s.sum() for s in sums)) / sum(s.numel() for s in sums)]


def score_of_components(sums: Sequence[torch.Tensor], axes: ComponentAxes) -> list[float]:
    """Compute the sum over a component / its parameters, for each component of a module.

    Tensors that the components share, such as output biases, go and stay with the module and don't count. A module
    without components is a single unit.

    Args:
        sums: as in `score_of_module`.
        axes: of the same tensors.
    """
    if all(axis is None for axis in axes):
        return score_of_module(sums, axes)
    own = [s.movedim(axis, 0).reshape(s.shape[axis], -1) for s, axis in zip(sums, axes) if axis is not None]
    joined = torch.cat(own, dim=1)  # (components, parameters of a component)
    return (joined.sum(1) / joined.shape[1]).tolist()


ScoreUnits = Callable[[Sequence[torch.Tensor], ComponentAxes], list[float]]
STRUCTURES: dict[str, ScoreUnits] = {"component": score_of_components, "module": score_of_module}


@torch.no_grad()
def find_switches(module: PeftModule) -> tuple[bool, ...]:
    """Tell of each tensor of a new module whether it starts at zero: with these at zero the module is off."""
    return tuple(not bool(parameter.any()) for parameter in module.parameters())


def rise_without(saliency: Saliency, switches: Sequence[bool]) -> Saliency:
    """Compute -weight * gradient of the switches, and 0 elsewhere.

    Its sum over a component's switches is the rise of the loss without the component, to first order. The other
    factors of a product have the same sum each, and would count a kind as often as it has factors.
    """
    return [
        -tensor if is_switch else torch.zeros_like(tensor)
        for tensor, is_switch in zip(saliency, switches, strict=True)
    ]


def absolute(saliency: Saliency, switches: Sequence[bool]) -> Saliency:
    """Compute |weight * gradient| of every tensor."""
    return list(torch._foreach_abs(saliency))


SCORES: dict[str, Callable[[Saliency, Sequence[bool]], Saliency]] = {
    "signed_sum": rise_without,
    "absolute_sum": absolute,
}


def order_units(scores: Mapping[Placement, Sequence[float]]) -> list[PruningUnit]:
    """List every unit, the highest score first, ties by placement.

    Keeping the longest leading part that fits is the same as dropping the lowest until the rest fits.

    Args:
        scores: for each module, the scores of its units.
    """
    units = [PruningUnit(placement, score) for placement, of_units in scores.items() for score in of_units]
    return sorted(units, key=lambda unit: (-unit.score, unit.placement))


def skip_held(core: Configuration, ordered: Iterable[PruningUnit]) -> list[Placement]:
    """List the placements of the units, skipping as many of each placement as `core` already holds.

    Args:
        core: a configuration that stays as it is; a module of rank k holds k units.
        ordered: units, the highest score first.
    """
    held = {choice.placement: choice.rank for choice in core}
    rest = []
    for unit in ordered:
        if held.get(unit.placement, 0) > 0:
            held[unit.placement] -= 1
        else:
            rest.append(unit.placement)
    return rest
