"""A model that carries every module of a search space at its largest rank."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import nn

from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.attention import choose_attention
from peftsearch.modules.peft_module import Mask, PeftModule
from peftsearch.space import Placement, SearchSpace, Site

# What a step does with each placement: its mask, or None to skip it altogether. Absent ones count in full.
Gates = Mapping[Placement, Mask | None]


class Supernet:
    """The live modules of a search: gated for a step, removed for good, read for their weights.

    Smaller ranks use the leading rows and columns of the same tensors (weight entanglement).

    Args:
        model: peft's model with `space.largest` attached as its active adapter.
        sites: every site of the model.
        space: what was attached.
    """

    def __init__(self, model: PeftModel, *, sites: Iterable[Site], space: SearchSpace):
        self.model, self.space = model, space
        self.adapter = model.active_adapter
        self._paths = {site.name: site.path for site in sites}
        layers = {name: m for name, m in model.base_model.model.named_modules() if isinstance(m, AdaptedLayer)}
        self._layers = {placement: layers[self._paths[placement.site]] for placement in space.ranks}

    @property
    def live(self) -> list[Placement]:
        """Placements that have not been removed, sorted by site and kind."""
        return list(self._layers)

    def module(self, placement: Placement) -> PeftModule:
        """The module of a live placement."""
        return self._layers[placement].modules_of(self.adapter)[placement.kind]

    def parameters_of(self, placement: Placement) -> list[nn.Parameter]:
        """Trainable tensors of a live placement, at the largest rank."""
        return list(self.module(placement).parameters())

    @contextmanager
    def gated(self, gates: Gates) -> Iterator[None]:
        """Apply gates to every forward pass inside the scope, and to none after it.

        The backward pass may run outside, as it uses what the forward pass recorded, unless gradient checkpointing
        makes it run the forward pass again.
        """
        for placement, layer in self._layers.items():
            if placement in gates:
                layer.masks[placement.kind] = gates[placement]
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.masks.clear()

    def remove(self, placements: Iterable[Placement]) -> list[nn.Parameter]:
        """Take modules out of the model physically: no forward, no backward, no memory.

        Returns:
            their parameters, for the caller to drop from its optimizer.
        """
        removed = []
        for placement in placements:
            layer = self._layers.pop(placement)
            removed += layer.modules_of(self.adapter)[placement.kind].parameters()
            layer.remove_module(self.adapter, placement.kind)
            if not layer.modules_of(self.adapter):
                self._unwrap(self._paths[placement.site], layer)
        choose_attention(self.model.base_model.model)
        return removed

    def _unwrap(self, path: str, layer: AdaptedLayer) -> None:
        parent, _, name = path.rpartition(".")
        setattr(self.model.base_model.model.get_submodule(parent), name, layer.base_layer)


def rank_masks(ranks: Iterable[int], largest: int) -> torch.Tensor:
    """(choices, largest) ones in the leading `rank` columns of each row, zeros behind."""
    return (torch.arange(largest)[None, :] < torch.tensor(list(ranks))[:, None]).float()
