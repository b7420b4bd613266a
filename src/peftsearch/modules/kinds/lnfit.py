"""A trained change of a norm's weight."""

import torch
from torch import nn
from torch.nn.functional import layer_norm

from peftsearch.modules.changed_layer import with_parameters
from peftsearch.modules.peft_module import UNMASKED, Mask, PeftModule, is_plain, layer_widths, register_kind
from peftsearch.space import Site

_EPSILON_NAMES = ("eps", "variance_epsilon", "epsilon")


@register_kind
class Lnfit(PeftModule):
    """A trained change of a norm's weight, y + w * n(x) with w (width,) and n(x) the normalised input.

    LayerNorm subtracts the mean and RMS norms do not. Class names do not tell which is which: T5LayerNorm is an RMS
    norm, CohereLayerNorm is not. So the norm itself is tried. The normalised input is computed anew and not derived
    from `y`, since the norm's weight may have scaled it to zero.

    Source: the LNFit of S3Delta (Hu et al. 2022, table 1).
    """

    kind = "lnfit"
    description = "trained change of a norm's weight: y + w * normalised x"
    source = "Hu et al. 2022 (S3Delta), table 1"
    order = -2
    learning_rate_scale = 1.0
    runs_as = "weight"

    def __init__(self, base_layer: nn.Module, rank: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layer_widths(base_layer)[1]))
        self.centered = _is_centered(base_layer)
        self.epsilon = next((getattr(base_layer, n) for n in _EPSILON_NAMES if hasattr(base_layer, n)), 1e-6)

    @classmethod
    def fits(cls, site: Site) -> bool:
        return site.role.is_norm

    @classmethod
    def num_parameters(cls, site: Site, rank: int) -> int:
        return site.out_width

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        weight = self.weight if mask.gate is None else mask.gate * self.weight
        x = x.to(weight.dtype)
        if self.centered:
            return y + layer_norm(x, weight.shape, weight, None, self.epsilon).to(y.dtype)
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)
        return y + (x * scale * weight).to(y.dtype)

    def weight_delta(self, base_weight: torch.Tensor) -> torch.Tensor:
        return self.weight.float()


@torch.no_grad()
def _is_centered(norm: nn.Module) -> bool:
    """Tell whether a norm subtracts the mean, by adding a constant to its input: then nothing may change."""
    weight = getattr(norm, "weight", None)
    if isinstance(norm, nn.LayerNorm) or not isinstance(weight, torch.Tensor) or not is_plain(norm):
        return isinstance(norm, nn.LayerNorm)
    if weight.is_meta or weight.dim() > 1:
        return False
    x = torch.linspace(-1, 1, len(weight), device=weight.device, dtype=weight.dtype)[None, None]
    run = with_parameters(norm, {"weight": torch.ones_like(weight)})
    return torch.allclose(run(x + 1), run(x), atol=0.1)
