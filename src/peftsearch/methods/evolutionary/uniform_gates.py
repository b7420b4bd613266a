"""The training of a supernet that serves all configurations alike: each step runs one, drawn at random."""

import random
from collections.abc import Mapping
from typing import Any

import torch

from peftsearch.searches.gate_strategy import GateStrategy, Observation
from peftsearch.space import Configuration, Placement
from peftsearch.space.encoding import Encoding
from peftsearch.supernet.gates import configuration_gates
from peftsearch.supernet.supernet import Gates
from peftsearch.training.pytree import PyTree


class UniformGates(GateStrategy):
    """Gates without an architecture: those of a step are the gates of one random configuration.

    Args:
        encoding: of the space, within the budget.
        seed: of every draw.

    Source: Zhang et al. 2022 (NOAH), section 3.3. Here only configurations within the budget are drawn, since the
    search chooses among those alone.
    """

    split = "all"

    def __init__(self, encoding: Encoding, *, seed: int):
        self.encoding = encoding
        self._rng = random.Random(f"{seed} supernet")
        self._widths = {placement: ranks[-1] for placement, ranks in encoding.space.ranks.items()}
        self._parameters = 0

    def has_architecture_step(self, step: int) -> bool:
        return False

    def weight_gates(self, step: int, live: list[Placement], device: torch.device) -> Gates:
        configuration = self.encoding.decode(self.encoding.sample(self._rng))
        self._parameters = self.encoding.space.cost(configuration)
        return configuration_gates(live, configuration, self._widths, device)

    def observe(self, step: int, observation: Observation) -> list[Placement]:
        return []

    def finished(self) -> bool:
        return False

    def status(self, step: int) -> Mapping[str, Any]:
        return {"sampled_parameters": self._parameters}

    def state_dict(self) -> PyTree:
        return {"random": self._rng.getstate(), "parameters": self._parameters}

    def load_state_dict(self, state: PyTree) -> None:
        version, numbers, gauss = state["random"]
        self._rng.setstate((version, tuple(numbers), gauss))
        self._parameters = state["parameters"]

    def results(self) -> dict[int, Configuration]:
        """Return nothing: configurations are searched after this training, with its weights."""
        return {}
