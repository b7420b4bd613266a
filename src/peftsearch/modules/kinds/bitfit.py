"""A trained bias."""

import torch
from torch import nn

from peftsearch.modules.peft_module import (
    UNMASKED,
    Mask,
    PeftModule,
    bias_is_missing,
    layer_widths,
    register_kind,
)
from peftsearch.modules.plain_forms import LoraUpdate
from peftsearch.space import Site


@register_kind
class Bitfit(PeftModule):
    """A trained bias, y + b with b (out_width,): it shifts the layer's bias, or adds one to a layer without.

    Source: Ben Zaken et al. 2022, "BitFit", section 3.
    """

    kind = "bitfit"
    description = "trained bias of a linear map or norm: y + b"
    source = "Ben Zaken et al. 2022, section 3"
    order = -1
    learning_rate_scale = 1.0
    runs_as = "bias"

    def __init__(self, base_layer: nn.Module, rank: int = 1):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(layer_widths(base_layer)[1]))

    @classmethod
    def fits(cls, site: Site) -> bool:
        return True

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        return site.out_width

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        bias = self.bias if mask.gate is None else mask.gate * self.bias
        return y + bias.to(y.dtype)

    def unmergeable_reason(self, base_layer: nn.Module) -> str | None:
        return bias_is_missing(base_layer)

    def bias_delta(self, base_bias: torch.Tensor | None) -> torch.Tensor:
        return self.bias.float()

    def as_lora(self, base_layer: nn.Module) -> LoraUpdate:
        bias = self.bias.detach().float()
        return LoraUpdate(bias.new_zeros(0, layer_widths(base_layer)[0]), bias.new_zeros(len(bias), 0), bias)
