"""What the code of a module does with the layers in it, read from its source."""

import inspect
import re
from functools import cache

from torch import nn


def reads_weight_of(owner: nn.Module, layer: str) -> bool:
    """Tell whether a module multiplies by a layer's weight itself, so that what stands at the layer is passed by.

    Mamba's kernels take the weight of the output map, and torch's MultiheadAttention that of all its maps. Slices of a
    weight do not count: BLOOM takes them to repeat the rounding of a training on several devices.

    Args:
        owner: the module that has the layer.
        layer: name of the layer in it.
    """
    if isinstance(owner, nn.MultiheadAttention):
        return True
    used = rf"(?<!isinstance\()\bself\.{re.escape(layer)}\.weight\b(?!\.(?:dtype|device|shape|data|size)|\[)"
    return any(re.search(used, source) for source in _sources(type(owner)))


def calls_attention_interface(owner: nn.Module) -> bool:
    """Tell whether a module computes its attention by a function that transformers' AttentionInterface can replace."""
    return any("ALL_ATTENTION_FUNCTIONS" in source for source in _sources(type(owner)))


@cache
def _sources(owner: type[nn.Module]) -> tuple[str, ...]:
    """Sources of the methods of a class, without its construction; none where the source is not at hand."""
    found = []
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        if getattr(nn.Module, name, None) is not method and "init" not in name:
            try:
                found.append(inspect.getsource(inspect.unwrap(method)))
            except (OSError, TypeError):
                continue
    return tuple(found)
