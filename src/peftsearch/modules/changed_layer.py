"""Run a frozen layer with other parameters than its own, which stay as they are."""

from collections.abc import Mapping

import torch
from torch import nn

from peftsearch.modules.peft_module import is_plain

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def can_run_with(layer: nn.Module, name: str, x: torch.Tensor) -> bool:
    """Whether a layer computes the same with a change added to a parameter as with the change after it.

    Args:
        layer: the base layer.
        name: of the parameter, which may be None, as the bias of a layer that has none.
        x: what the layer is about to read.
    """
    # FSDP and DataParallel keep tensors of a layer in its attributes; a wrapper has none of its own.
    weight = layer._parameters.get("weight", layer.__dict__.get("weight"))
    if weight is None or weight.is_meta or not is_plain(layer) or not hasattr(layer, name):
        return False
    # A parametrisation or a hook (pruning) may make the parameter, another forward (accelerate's offloading) fetch it,
    # and hooks and compiled calls know the layer itself and not its twin.
    is_watched = any(getattr(layer, hooks) for hooks in _HOOKS) or layer._compiled_call_impl is not None
    if hasattr(type(layer), name) or is_watched or "forward" in layer.__dict__:
        return False
    # In a sum of less precision a small change would be lost.
    is_rounded = weight.dim() > 1 and torch.is_autocast_enabled(x.device.type)
    return weight.dtype == torch.float32 and not is_rounded


def with_parameters(layer: nn.Module, changed: Mapping[str, torch.Tensor]) -> nn.Module:
    """A twin of a layer that shares everything with it but some parameters; the layer itself if there are none.

    `torch.func.functional_call` would put them into the layer while it runs, where other threads find them. They stand
    before parameters and before the tensors that FSDP and DataParallel keep in the place of parameters.
    """
    if not changed:
        return layer
    twin = object.__new__(type(layer))
    twin.__dict__ = {**layer.__dict__, **changed}
    return twin
