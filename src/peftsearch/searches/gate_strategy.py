"""What the gate driver asks of a method that searches by gating a supernet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch

from peftsearch.space import Configuration, Placement
from peftsearch.supernet.sensitivity import ModuleSaliency, Saliency
from peftsearch.supernet.supernet import Gates, Supernet
from peftsearch.training.pytree import PyTree


@dataclass(frozen=True)
class Observation:
    """What one search step saw of the live modules, module i being `live[i]`.

    Args:
        live: placements in the order of `modules`.
        modules: how tensors map to modules.
        weight_saliency: weight * gradient on the weight half of the data.
        validation_saliency: the same on the architecture half; None in a step that does not train the architecture.
    """

    live: list[Placement]
    modules: ModuleSaliency
    weight_saliency: Saliency
    validation_saliency: Saliency | None


class GateStrategy(Protocol):
    """A search method over gates; steps are counted from 0.

    Methods inherit from it: `prepare` and `end_epoch` do nothing and `importances` is empty unless a method has a use
    for them, and a method that never has an architecture step leaves out what belongs to it.
    """

    # How it shares the training set out: "halves" for weights and architecture, or "all" for the weights.
    split: ClassVar[Literal["halves", "all"]]
    # Whether its architecture steps look one weight step ahead; see `second_order`.
    is_second_order: bool = False

    def prepare(self, supernet: Supernet) -> None:
        """Look at the supernet, or change its start, before the first step."""

    def has_architecture_step(self, step: int) -> bool:
        """Whether a step trains the architecture before it trains weights."""
        ...

    def architecture_parameters(self, step: int) -> list[torch.Tensor]:
        """Tensors to differentiate in this step."""
        ...

    def architecture_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        """Gates with gradients to `architecture_parameters`."""
        ...

    def architecture_penalty(self, step: int) -> torch.Tensor:
        """What is added to the loss of the architecture step."""
        ...

    def update_architecture(self, step: int, gradients: list[torch.Tensor]) -> None:
        """Take one optimizer step on `architecture_parameters`."""

    def weight_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        """Gates of the weight step."""
        ...

    def observe(self, step: int, observation: Observation) -> list[Placement]:
        """Take in a step's records; return the modules to remove for good."""
        ...

    def end_epoch(self, score: Callable[[Gates], float]) -> None:
        """Take note of the end of an epoch.

        Args:
            score: the selecting metric of the supernet under gates on the validation split, larger is better. It
                costs one evaluation.
        """

    def finished(self) -> bool:
        """Whether the search can stop before its planned steps run out."""
        ...

    def status(self, step: int) -> Mapping[str, Any]:
        """Numbers for the log and the progress bar."""
        ...

    def importances(self) -> Mapping[Placement, float]:
        """How much the method wants each module that is left, on a scale of its own; for the report."""
        return {}

    def state_dict(self) -> PyTree:
        """All that changes while it searches, so that an interrupted search can go on; see `state_tree`."""
        ...

    def load_state_dict(self, state: PyTree) -> None:
        """Be as when `state` was called; the strategy is otherwise new, and prepared."""
        ...

    def results(self) -> dict[int, Configuration]:
        """The configuration for each requested budget in parameters."""
        ...

    def notes(self) -> list[str]:
        """What the user should know about how the search went."""
        ...
