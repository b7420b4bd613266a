"""The rules of PrunePEFT as pure functions: what is pruned as one, its score, and the order of pruning."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from peftsearch.modules.peft_module import PeftModule
from peftsearch.space import Configuration, Placement
from peftsearch.supernet.sensitivity import Saliency


@dataclass(frozen=True)
class PruningUnit:
    """Modules that are kept or pruned as one.

    Args:
        placement: the module that it is part of; a module with k kept units has rank k.
        score: how much the loss depends on it for each of its parameters, at least 0.
    """

    placement: Placement
    score: float


@dataclass(frozen=True)
class Layout:
    """How the tensors of a module fall into components.

    Args:
        axes: for each tensor, its axis of components; None where all components share it.
        num_components: the module's rank; 1 where no tensor has components.
    """

    axes: tuple[int | None, ...]
    num_components: int

    @classmethod
    def of(cls, module: PeftModule) -> "Layout":
        """Read the layout off a module."""
        tensors = dict(module.named_parameters())
        axes = {name: module.rank_axes.get(name) for name in tensors}
        lengths = {tensors[name].shape[axis] for name, axis in axes.items() if axis is not None}
        return cls(tuple(axes.values()), max(lengths, default=1))


def score_of_module(sums: Sequence[torch.Tensor], layout: Layout) -> list[float]:
    """|sum over the module| / parameters, as a single unit.

    Args:
        sums: for each tensor of the module, the sum over steps of its scores.
    """
    return [abs(float(sum(s.sum() for s in sums))) / sum(s.numel() for s in sums)]


def score_of_components(sums: Sequence[torch.Tensor], layout: Layout) -> list[float]:
    """|sum over a component's rows and columns| / parameters, for each component.

    What the components share, such as biases, goes and stays with the module and has no say.
    """
    if all(axis is None for axis in layout.axes):
        return score_of_module(sums, layout)
    parts = [s.movedim(axis, 0).reshape(s.shape[axis], -1) for s, axis in zip(sums, layout.axes) if axis is not None]
    joined = torch.cat(parts, dim=1)  # (components, parameters of a component)
    return (joined.sum(1).abs() / joined.shape[1]).tolist()


ScoreUnits = Callable[[Sequence[torch.Tensor], Layout], list[float]]
STRUCTURES: dict[str, ScoreUnits] = {"component": score_of_components, "module": score_of_module}


def signed(record: Saliency) -> Saliency:
    """theta * g as it is."""
    return record


def absolute(record: Saliency) -> Saliency:
    """|theta * g|."""
    return list(torch._foreach_abs(record))


SCORES: dict[str, Callable[[Saliency], Saliency]] = {"signed_sum": signed, "absolute_sum": absolute}


def order_units(units: Mapping[Placement, Sequence[float]]) -> list[PruningUnit]:
    """Every unit, the highest score first, ties by placement.

    Keeping the longest leading part that fits is the same as dropping the lowest until the rest fits.
    """
    found = [PruningUnit(placement, score) for placement, scores in units.items() for score in scores]
    return sorted(found, key=lambda unit: (-unit.score, unit.placement))


def skip_held(core: Configuration, ordered: Iterable[PruningUnit]) -> list[Placement]:
    """Placements of the units in their order, less the first k of a placement that `core` holds at rank k."""
    held = {choice.placement: choice.rank for choice in core}
    rest = []
    for unit in ordered:
        if held.get(unit.placement, 0) > 0:
            held[unit.placement] -= 1
        else:
            rest.append(unit.placement)
    return rest
