"""A bottleneck adapter beside the feed-forward block."""

import torch

from peftsearch.modules.kinds.serial_adapter import SerialAdapter
from peftsearch.modules.peft_module import UNMASKED, Mask, register_kind
from peftsearch.space import Role, Site


@register_kind
class ParallelAdapter(SerialAdapter):
    """A bottleneck adapter y + Up gelu(Down x + b) + c from the input x to the output y of the feed-forward block.

    It is the serial adapter with another input: that of the block's first linear map, which is already normalised in
    pre-norm models.

    Source: He et al. 2022, "Towards a unified view", section 3; PA of space S1 (Chang et al. 2024).
    """

    kind = "parallel_adapter"
    description = "bottleneck adapter beside the FFN: y + Up gelu(Down x)"
    source = "He et al. 2022, section 3"
    order = 4
    reads_block_input = True

    @classmethod
    def fits(cls, site: Site) -> bool:
        return site.role == Role.FFN_OUT and bool(site.input_path)

    def forward(self, x: torch.Tensor, y: torch.Tensor, mask: Mask = UNMASKED) -> torch.Tensor:
        return self.add_bottleneck(x, y, mask)
