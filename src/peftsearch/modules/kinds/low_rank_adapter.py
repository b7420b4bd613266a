"""A bottleneck adapter whose two projections are themselves low-rank products."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import gelu

from peftsearch.modules.peft_module import UNMASKED, Mask, PeftModule, layer_widths, register_kind
from peftsearch.modules.plain_forms import PlainBottleneck
from peftsearch.modules.projections import add_projection, project_down
from peftsearch.space import Role, Site

REDUCTION = 32


def bottleneck_width(width: int) -> int:
    """Compute the width of the bottleneck: a 32nd of the layer's, at least 1."""
    return max(1, width // REDUCTION)


@register_kind
class LowRankAdapter(PeftModule):
    """A bottleneck adapter, y + U2(gelu(U1 y)), where each U is a product of two rank-r factors plus a bias.

    Only the last factor starts at zero, so that the module starts as the identity and every tensor can be trained.
    The public BIPEFT code has an option that zeroes both factors of U2; these then never get a gradient, so the option
    is left out.

    Source: the LR-adapter of S3Delta and BIPEFT (Chang et al. 2024, section 4.1); gelu in its tanh form, as there.
    """

    kind = "low_rank_adapter"
    description = "bottleneck adapter with low-rank projections after attention or FFN"
    source = "Chang et al. 2024, section 4.1"
    ranked = True
    rank_axes: ClassVar[Mapping[str, int]] = {"down_in": 0, "down_out": 1, "up_in": 0, "up_out": 1}
    order = 2

    def __init__(self, base_layer: nn.Module, rank: int):
        super().__init__()
        width = layer_widths(base_layer)[1]
        narrow = bottleneck_width(width)
        self.down_in = nn.Parameter(_kaiming(rank, width, a=5**0.5))
        self.down_out = nn.Parameter(_kaiming(narrow, rank))
        self.down_bias = nn.Parameter(torch.zeros(narrow))
        self.up_in = nn.Parameter(_kaiming(rank, narrow))
        self.up_out = nn.Parameter(torch.zeros(width, rank))
        self.up_bias = nn.Parameter(torch.zeros(width))

    @classmethod
    def fits(cls, site: Site) -> bool:
        return site.role in (Role.ATTENTION_OUTPUT, Role.FFN_OUT, Role.CROSS_OUTPUT)

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        width, narrow = site.out_width, bottleneck_width(site.out_width)
        return 2 * rank * (width + narrow) + narrow + width

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        hidden = self._masked(project_down(y, self.down_in), mask.rank)
        hidden = gelu(project_down(hidden, self.down_out, self.down_bias), approximate="tanh")
        hidden = self._masked(project_down(hidden, self.up_in), mask.rank)
        # The gate multiplies the rank-sized activation, not the output: the same result for a fraction of the work.
        return add_projection(y, self._masked(hidden, mask.gate), self.up_out, self._masked(self.up_bias, mask.gate))

    @staticmethod
    def _masked(values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        # In their dtype: a mask of more precision would lift what follows to its own.
        return values if mask is None else values * mask.to(values.dtype)

    def unmergeable_reason(self, base_layer: nn.Module) -> str | None:
        return "a non-linear bottleneck cannot be merged"

    def as_bottleneck(self) -> PlainBottleneck:
        down, up = self.down_out @ self.down_in, self.up_out @ self.up_in
        tensors = (down, self.down_bias, up, self.up_bias)
        return PlainBottleneck(*(tensor.detach().float() for tensor in tensors))


def _kaiming(rows: int, columns: int, *, a: float = 1.0) -> torch.Tensor:
    """Draw a (rows, columns) tensor by Kaiming's uniform rule; with a = 1 its outputs are as large as its inputs."""
    return nn.init.kaiming_uniform_(torch.empty(rows, columns), a=a)
