"""Learned rescaling of keys, values and the feed-forward activation."""

import torch
from torch import nn

from peftsearch.modules.peft_module import UNMASKED, Mask, PeftModule, layer_widths, register_kind
from peftsearch.space import Role, Site


@register_kind
class Ia3(PeftModule):
    """Learned rescaling: y * (1 + d), d (out_width,), at keys and values; x * (1 + d), d (in_width,), at the FFN.

    At the FFN it is the input of the last map that is rescaled. The paper's vector l is 1 + d, so that
    weight decay pulls towards the base model. Other modules at the site are rescaled too: at keys and values LoRA and
    BitFit come first, and at the FFN LoRA reads the rescaled input.

    Args:
        base_layer: the layer that is changed.
        rank: always 1.
        scales_input: whether the input is rescaled, and not the output.

    Source: Liu et al. 2022, "Few-shot parameter-efficient fine-tuning", section 3.3; the paper rescales
    cross-attention as well.
    """

    kind = "ia3"
    description = "learned rescaling of keys, values and the FFN's hidden activation"
    source = "Liu et al. 2022, section 3.3"
    order = 2
    # In peft's benchmark the best rate of IA3 and prefixes is far above LoRA's (5e-3 against 1e-4); 3 is a cautious
    # step in that direction.
    learning_rate_scale = 3.0

    def __init__(self, base_layer: nn.Module, rank: int = 1, *, scales_input: bool = False):
        super().__init__()
        in_width, out_width = layer_widths(base_layer)
        self.scales_input = scales_input
        self.scale = nn.Parameter(torch.zeros(in_width if scales_input else out_width))

    @classmethod
    def build(cls, base_layer: nn.Module, rank: int, role: Role | None) -> "Ia3":
        return cls(base_layer, rank, scales_input=role == Role.FFN_OUT)

    @classmethod
    def fits(cls, site: Site) -> bool:
        return site.role in (Role.KEY, Role.VALUE, Role.FFN_OUT)

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        return site.in_width if site.role == Role.FFN_OUT else site.out_width

    def before(self, x: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        return self._rescaled(x, mask) if self.scales_input else x

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        return y if self.scales_input else self._rescaled(y, mask)

    def _rescaled(self, values: torch.Tensor, mask: Mask) -> torch.Tensor:
        scale = self.scale if mask.gate is None else mask.gate * self.scale
        return values * (1 + scale).to(values.dtype)

    def weight_delta(self, base_weight: torch.Tensor) -> torch.Tensor:
        return base_weight * (self.scale.float() if self.scales_input else self.scale.float()[:, None])

    def bias_delta(self, base_bias: torch.Tensor | None) -> torch.Tensor | None:
        return None if base_bias is None or self.scales_input else base_bias * self.scale.float()
