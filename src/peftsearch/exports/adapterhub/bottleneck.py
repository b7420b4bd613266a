"""Modules of ours as one bottleneck of two full maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

import torch

from peftsearch.modules.kinds.low_rank_adapter import LowRankAdapter
from peftsearch.modules.kinds.parallel_adapter import ParallelAdapter
from peftsearch.modules.kinds.serial_adapter import SerialAdapter
from peftsearch.modules.peft_module import PeftModule


@dataclass(frozen=True)
class Bottleneck:
    """Up gelu(Down x + b) + c, with gelu in its tanh form.

    Args:
        tensors: the library's name -> tensor.
        is_parallel: whether it reads the block's input.
    """

    tensors: Mapping[str, torch.Tensor]
    is_parallel: bool

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return len(self.tensors["adapter_down.0.bias"])


@singledispatch
def bottleneck_of(module: PeftModule) -> Bottleneck | None:
    """A module of ours as one bottleneck; None for kinds that are none."""
    return None


@bottleneck_of.register
def _(module: SerialAdapter) -> Bottleneck:
    is_parallel = isinstance(module, ParallelAdapter)
    return _bottleneck(module.down, module.down_bias, module.up, module.up_bias, is_parallel=is_parallel)


@bottleneck_of.register
def _(module: LowRankAdapter) -> Bottleneck:
    down, up = module.down_out @ module.down_in, module.up_out @ module.up_in
    return _bottleneck(down, module.down_bias, up, module.up_bias, is_parallel=False)


def _bottleneck(*tensors: torch.Tensor, is_parallel: bool) -> Bottleneck:
    names = ("adapter_down.0.weight", "adapter_down.0.bias", "adapter_up.weight", "adapter_up.bias")
    return Bottleneck({n: t.detach().float() for n, t in zip(names, tensors, strict=True)}, is_parallel)
