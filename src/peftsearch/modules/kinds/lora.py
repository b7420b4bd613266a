"""Low-rank adaptation of a linear map."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from peftsearch.modules.peft_module import UNMASKED, Mask, PeftModule, layer_widths, register_kind
from peftsearch.modules.plain_forms import LoraUpdate
from peftsearch.modules.projections import add_projection, project_down
from peftsearch.space import Site


@register_kind
class Lora(PeftModule):
    """A low-rank update, y + B A x with A (rank, in_width) and B (out_width, rank).

    The scale is 1 at every rank, as in BIPEFT; with S3Delta's 16 / rank the step size would depend on the rank.

    Source: Hu et al. 2022, "LoRA", section 4.1.
    """

    kind = "lora"
    description = "low-rank update of a linear map: y + B A x"
    source = "Hu et al. 2022, section 4.1"
    ranked = True
    rank_axes: ClassVar[Mapping[str, int]] = {"A": 0, "B": 1}

    def __init__(self, base_layer: nn.Module, rank: int):
        super().__init__()
        in_width, out_width = layer_widths(base_layer)
        self.A = nn.Parameter(torch.empty(rank, in_width))
        self.B = nn.Parameter(torch.zeros(out_width, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    @classmethod
    def fits(cls, site: Site) -> bool:
        return not site.role.is_norm

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        return rank * (site.in_width + site.out_width)

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        hidden = project_down(x, self.A)
        scale = _product(mask)
        if scale is not None:
            # In the activation's dtype: a mask of more precision would lift what follows to its own.
            hidden = hidden * scale.to(hidden.dtype)
        return add_projection(y, hidden, self.B)

    def weight_delta(self, base_weight: torch.Tensor) -> torch.Tensor:
        return self.B.float() @ self.A.float()

    def as_lora(self, base_layer: nn.Module) -> LoraUpdate:
        return LoraUpdate(self.A.detach().float(), self.B.detach().float())


def _product(mask: Mask) -> torch.Tensor | None:
    """Multiply gate and rank mask, so that one product with the rank-sized activation applies both."""
    if mask.gate is None or mask.rank is None:
        return mask.rank if mask.gate is None else mask.gate
    return mask.gate * mask.rank
