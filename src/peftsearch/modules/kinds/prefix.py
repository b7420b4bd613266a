"""Learned key and value vectors in front of a self-attention."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from peftsearch.modules.peft_module import UNMASKED, Mask, PeftModule, layer_widths, register_kind
from peftsearch.space import Role, Site, prefix_width


@register_kind
class Prefix(PeftModule):
    """Learned keys and values, a + softmax(Q K^T s) V with K and V (rank, width of the keys).

    Here a is the attention's output and s its scaling. The prefix has a softmax of its own over its `rank` positions,
    without dropout, and is added to each head's output before the output projection; heads that share keys share
    prefixes. V starts at zero, so that the start is exactly the base model, and K at the scale of real keys. The
    module is attached to the map that computes the values, where `attention.py` finds it.

    Args:
        base_layer: the map that computes the values.
        rank: number of positions.
        role: the role of the site, on which the width of the keys depends.

    Source: Zhang et al. 2023, "LLaMA-Adapter", section 3.2, as in space S1 of Chang et al. 2024. There prefixes are
    hidden states that pass through the layer's own key and value maps, with a gate per layer that starts at zero; here
    keys and values are trained directly, so that a module does not depend on others and adds nothing when it is off.
    """

    kind = "prefix"
    description = "learned keys and values with their own softmax in self-attention"
    source = "Zhang et al. 2023, section 3.2"
    ranked = True
    rank_axes: ClassVar[Mapping[str, int]] = {"K": 0, "V": 0}
    # In peft's benchmark the best rate of IA3 and prefixes is far above LoRA's (5e-3 against 1e-4); 3 is a cautious
    # step in that direction.
    learning_rate_scale = 3.0

    def __init__(self, base_layer: nn.Module, rank: int, *, role: Role = Role.VALUE):
        super().__init__()
        width = prefix_width(role, layer_widths(base_layer)[1])
        # torch cannot parametrise names that are methods of its ModuleDict, which rules out "keys" and "values".
        self.K = nn.Parameter(torch.randn(rank, width))
        self.V = nn.Parameter(torch.zeros(rank, width))

    @classmethod
    def build(cls, base_layer: nn.Module, rank: int, role: Role | None) -> "Prefix":
        return cls(base_layer, rank, role=role or Role.VALUE)

    @classmethod
    def fits(cls, site: Site) -> bool:
        return site.prefix_width > 0 and site.role in (Role.VALUE, Role.QUERY_KEY_VALUE)

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        return 2 * rank * site.prefix_width

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        return y

    def attend(
        self, query: torch.Tensor, *, num_key_heads: int, scaling: float | None, mask: Mask = UNMASKED
    ) -> torch.Tensor:
        keys, values = (t.unflatten(1, (num_key_heads, -1)).transpose(0, 1) for t in (self.K, self.V))
        grouped = query.to(keys.dtype).reshape(query.shape[0], num_key_heads, -1, query.shape[-1])
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        weights = torch.softmax(grouped @ keys.transpose(1, 2) * scale, dim=-1)
        if mask.rank is not None:
            weights = weights * mask.rank
            weights = weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        if mask.gate is not None:
            values = values * mask.gate
        return (weights @ values).view(query.shape).transpose(1, 2)

    def unmergeable_reason(self, base_layer: nn.Module) -> str | None:
        return "a prefix has no place in a layer's weight"
