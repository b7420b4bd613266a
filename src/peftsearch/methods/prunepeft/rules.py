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
        score: how much the loss depends on it for each of its parameters, at least 0.
    """

    placement: Placement
    score: float


def component_axes(module: PeftModule) -> ComponentAxes:
    """Find the axis of components of each tensor, in the order of `module.parameters()`."""
    return tuple(module.rank_axes.get(name) for name, _ in module.named_parameters())


def score_of_module(sums: Sequence[torch.Tensor], axes: ComponentAxes) -> list[float]:
    """Compute |sum over the module| / parameters, the score of a module that is a single unit.

    Args:
        sums: for each tensor of the module, the sum of its saliencies over the steps, in the tensor's shape.
        axes: not used.
    """
    return [abs(float(sum(s.sum() for s in sums))) / sum(s.numel() for s in sums)]


def score_of_components(sums: Sequence[torch.Tensor], axes: ComponentAxes) -> list[float]:
    """Compute |sum over a component| / parameters of a component, for each component of a module.

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
    return (joined.sum(1).abs() / joined.shape[1]).tolist()


ScoreUnits = Callable[[Sequence[torch.Tensor], ComponentAxes], list[float]]
STRUCTURES: dict[str, ScoreUnits] = {"component": score_of_components, "module": score_of_module}


def signed(saliency: Saliency) -> Saliency:
    """Return weight * gradient as it is."""
    return saliency


def absolute(saliency: Saliency) -> Saliency:
    """Compute |weight * gradient|."""
    return list(torch._foreach_abs(saliency))


SCORES: dict[str, Callable[[Saliency], Saliency]] = {"signed_sum": signed, "absolute_sum": absolute}


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
