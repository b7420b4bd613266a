"""The interface of methods that search by gating a supernet."""

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
    """Saliencies of all live modules in one search step.

    Args:
        live: placements of the live modules; `live[i]` is module i.
        modules: reduces a saliency to one number for each module.
        weight_saliency: weight * gradient of every live tensor, on the data that trains the weights.
        validation_saliency: the same on the data that trains the architecture; None in steps that do not train it.
    """

    live: list[Placement]
    modules: ModuleSaliency
    weight_saliency: Saliency
    validation_saliency: Saliency | None


class GateStrategy(Protocol):
    """A search method over the gates of a supernet; steps are counted from 0.

    Methods inherit from it and may leave out `prepare`, `end_epoch`, `importances` and `notes`. They may also leave
    out `update_architecture` and all that starts with `architecture_`: an architecture step then trains nothing and
    only measures saliencies.
    """

    # Use of the training set: "halves" for weights and architecture, or "all" of it for the weights.
    split: ClassVar[Literal["halves", "all"]]
    # Whether architecture steps look one weight step ahead; see `searches/second_order.py`.
    is_second_order: bool = False

    def prepare(self, supernet: Supernet) -> None:
        """Inspect the supernet, or change its initial weights, before the first step."""

    def has_architecture_step(self, step: int) -> bool:
        """Tell whether a step trains the architecture before it trains weights."""
        ...

    def architecture_parameters(self, step: int) -> list[torch.Tensor]:
        """Return the tensors whose gradients an architecture step computes."""
        return []

    def architecture_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        """Make the gates of an architecture step, with gradients to `architecture_parameters`.

        Args:
            step: counted from 0.
            live: modules that have not been removed.
            device: of the model.
        """
        return {}

    def architecture_penalty(self, step: int) -> torch.Tensor:
        """Compute the regularisation, a scalar that is added to the loss of an architecture step."""
        return torch.zeros(())

    def update_architecture(self, step: int, gradients: list[torch.Tensor]) -> None:
        """Take one optimizer step on `architecture_parameters`.

        Args:
            step: counted from 0.
            gradients: of each of these parameters, the mean over all processes.
        """

    def weight_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        """Make the gates under which a step trains weights; arguments as in `architecture_gates`."""
        ...

    def observe(self, step: int, observation: Observation) -> list[Placement]:
        """Take note of a step's saliencies.

        Returns:
            modules to remove for good.
        """
        ...

    def end_epoch(self, score: Callable[[Gates], float]) -> None:
        """Take note of the end of an epoch.

        Args:
            score: returns the selecting metric of the supernet under gates on the validation split, larger is
                better; each call costs one evaluation.
        """

    def finished(self) -> bool:
        """Tell whether the search is done, even if planned steps are left."""
        ...

    def status(self, step: int) -> Mapping[str, Any]:
        """Return numbers for the log and the progress bar, by name."""
        ...

    def importances(self) -> Mapping[Placement, float]:
        """Return the importance of each live module, on a scale of the method's own, for the report."""
        return {}

    def state_dict(self) -> PyTree:
        """Return all that changes during a search, for checkpoints; see `PyTree` for what it may hold."""
        ...

    def load_state_dict(self, state: PyTree) -> None:
        """Restore the result of `state_dict()` in a new strategy, after `prepare`."""
        ...

    def results(self) -> dict[int, Configuration]:
        """Return the configuration for each budget: budget in parameters -> configuration."""
        ...

    def notes(self) -> list[str]:
        """Return remarks on the search for the user, of one sentence or more each."""
        return []
