"""A model that carries every module of a search space at its largest rank."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from peft import PeftModel
from torch import nn

from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.attention import choose_attention
from peftsearch.modules.peft_module import Mask, PeftModule
from peftsearch.modules.placement import is_dispatched
from peftsearch.space import Placement, SearchSpace, Site

# For each placement its mask in a step, or None to skip the module; absent placements run unmasked.
Gates = Mapping[Placement, Mask | None]


class Supernet:
    """A model with every module of a space, whose modules can be gated for a step and removed.

    Smaller ranks use the leading rows and columns of the same tensors (weight entanglement).

    Args:
        model: peft's model with `space.largest` attached as its active adapter.
        sites: every site of the model.
        space: the search space.

    Example:
        supernet = Supernet(attach(model, space.largest, sites=sites), sites=sites, space=space)
        with supernet.gated(dict.fromkeys(space.ranks)):  # every module is skipped
            model(**inputs)
    """

    def __init__(self, model: PeftModel, *, sites: Iterable[Site], space: SearchSpace):
        self.model, self.space = model, space
        self.adapter = model.active_adapters[0]
        self._paths = {site.name: site.path for site in sites}
        layers = {name: m for name, m in model.get_base_model().named_modules() if isinstance(m, AdaptedLayer)}
        self._layers = {placement: layers[self._paths[placement.site]] for placement in space.ranks}

    @property
    def live(self) -> list[Placement]:
        """Placements that have not been removed, sorted by site and kind."""
        return list(self._layers)

    def module(self, placement: Placement) -> PeftModule:
        """Return the module of a live placement."""
        return self._layers[placement].modules_of(self.adapter)[placement.kind]

    def parameters_of(self, placement: Placement) -> list[nn.Parameter]:
        """Return the trainable tensors of a live placement, at its largest rank."""
        return list(self.module(placement).parameters())

    @contextmanager
    def gated(self, gates: Gates) -> Iterator[None]:
        """Apply gates to every forward pass inside the context, and to none after it.

        The backward pass may run outside, unless gradient checkpointing repeats the forward pass in it.

        Args:
            gates: for each placement its mask, or None to skip the module.
        """
        is_spread = is_dispatched(self.model)
        for placement, layer in self._layers.items():
            if placement in gates:
                mask = gates[placement]
                layer.masks[placement.kind] = self._beside(placement, mask) if is_spread and mask else mask
        try:
            yield
        finally:
            for layer in self._layers.values():
                layer.masks.clear()

    def _beside(self, placement: Placement, mask: Mask) -> Mask:
        """Move a mask to the device of the module that it weighs."""
        device = self.parameters_of(placement)[0].device
        return Mask(*(None if part is None else part.to(device) for part in mask))

    def remove(self, placements: Iterable[Placement]) -> list[nn.Parameter]:
        """Remove modules from the model for good, so that they cost neither time nor memory.

        Returns:
            their parameters, which the caller must drop from its optimizer.
        """
        removed = []
        for placement in placements:
            layer = self._layers.pop(placement)
            removed += layer.modules_of(self.adapter)[placement.kind].parameters()
            layer.remove_module(self.adapter, placement.kind)
            if not layer.modules_of(self.adapter):
                self._unwrap(self._paths[placement.site], layer)
        choose_attention(self.model.get_base_model())
        return removed

    def _unwrap(self, path: str, layer: AdaptedLayer) -> None:
        parent, _, name = path.rpartition(".")
        setattr(self.model.get_base_model().get_submodule(parent), name, layer.base_layer)


def rank_masks(ranks: Iterable[int], largest: int) -> torch.Tensor:
    """Make the masks of some ranks.

    Args:
        ranks: one for each row, at most `largest`.
        largest: number of columns.

    Returns:
        (ranks, largest) ones in the leading `rank` columns of each row, zeros in the others.
    """
    return (torch.arange(largest)[None, :] < torch.tensor(list(ranks))[:, None]).float()
