"""A bottleneck adapter on a layer's output."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import gelu

from peftsearch.modules.peft_module import UNMASKED, Mask, PeftModule, layer_widths, register_kind
from peftsearch.modules.plain_forms import PlainBottleneck
from peftsearch.modules.projections import add_projection, project_down
from peftsearch.space import Role, Site


@register_kind
class SerialAdapter(PeftModule):
    """A bottleneck adapter on a layer's output, y + Up gelu(Down y + b) + c.

    Down is (rank, width), b (rank,), Up (width, rank) and c (width,). Up starts at zero, so that the module starts as
    the identity; Down is drawn uniformly, like LoRA's A. The public BIPEFT code draws both from N(0, 0.01), which
    changes the model before the first step.

    Source: Houlsby et al. 2019, section 2.1; SA of space S1 (Chang et al. 2024); gelu in its tanh form, as there.
    """

    kind = "serial_adapter"
    description = "bottleneck adapter on the output of attention or FFN: y + Up gelu(Down y)"
    source = "Houlsby et al. 2019, section 2.1"
    ranked = True
    rank_axes: ClassVar[Mapping[str, int]] = {"down": 0, "down_bias": 0, "up": 1}
    order = 3

    def __init__(self, base_layer: nn.Module, rank: int):
        super().__init__()
        width = layer_widths(base_layer)[1]
        self.down = nn.Parameter(torch.empty(rank, width))
        self.down_bias = nn.Parameter(torch.zeros(rank))
        self.up = nn.Parameter(torch.zeros(width, rank))
        self.up_bias = nn.Parameter(torch.zeros(width))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    @classmethod
    def fits(cls, site: Site) -> bool:
        return site.role in (Role.ATTENTION_OUTPUT, Role.CROSS_OUTPUT, Role.FFN_OUT)

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        return rank * (2 * site.out_width + 1) + site.out_width

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        return self.add_bottleneck(y, y, mask)

    def add_bottleneck(self, source: torch.Tensor, y: torch.Tensor, mask: Mask) -> torch.Tensor:
        """Compute y + Up gelu(Down source + b) + c; `source` and `y` are (batch, tokens, width)."""
        hidden = gelu(project_down(source, self.down, self.down_bias), approximate="tanh")
        bias = self.up_bias
        if mask.rank is not None:
            # In the activation's dtype: a mask of more precision would lift what follows to its own.
            hidden = hidden * mask.rank.to(hidden.dtype)
        if mask.gate is not None:
            hidden, bias = hidden * mask.gate, bias * mask.gate
        return add_projection(y, hidden, self.up, bias)

    def unmergeable_reason(self, base_layer: nn.Module) -> str | None:
        return "a non-linear bottleneck cannot be merged"

    def as_bottleneck(self) -> PlainBottleneck:
        tensors = (self.down, self.down_bias, self.up, self.up_bias)
        return PlainBottleneck(*(tensor.detach().float() for tensor in tensors))
