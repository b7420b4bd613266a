"""Run a frozen layer with changed parameters and leave its own untouched."""

from collections.abc import Mapping

import torch
from torch import nn

from peftsearch.modules.peft_module import is_plain
from peftsearch.modules.projections import is_autocast

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def can_run_with(layer: nn.Module, name: str, x: torch.Tensor) -> bool:
    """Tell whether running a layer with a changed parameter gives the same as adding the change to its output.

    Args:
        layer: the base layer.
        name: of the parameter; it may be None, as is the bias of a layer without one.
        x: the layer's input, whose device tells whether autocast is on.
    """
    # FSDP and DataParallel keep a layer's tensors as plain attributes; a wrapper has no weight of its own.
    weight = layer._parameters.get("weight", layer.__dict__.get("weight"))
    if weight is None or not is_plain(layer) or not hasattr(layer, name):
        return False
    # A parametrisation or a hook (pruning) may compute the parameter, another forward (accelerate's offloading) may
    # fetch it, and hooks and compiled calls are bound to the layer itself and not to its copy.
    is_watched = any(getattr(layer, hooks) for hooks in _HOOKS) or layer._compiled_call_impl is not None
    if hasattr(type(layer), name) or is_watched or "forward" in layer.__dict__:
        return False
    # A sum in lower precision would lose a small change.
    is_rounded = weight.dim() > 1 and is_autocast(x.device.type)
    return weight.dtype == torch.float32 and not is_rounded


def with_parameters(layer: nn.Module, changed: Mapping[str, torch.Tensor]) -> nn.Module:
    """Make a shallow copy of a layer with other values for some parameters.

    `torch.func.functional_call` would change the layer itself while it runs, which other threads would see. In the
    copy the new values are plain attributes: these win over parameters, and over the tensors that FSDP and
    DataParallel keep instead of parameters.

    Args:
        layer: shares all else with the copy.
        changed: parameter name -> value, in the parameter's shape.

    Returns:
        the copy; the layer itself if nothing is changed.
    """
    if not changed:
        return layer
    copy = object.__new__(type(layer))
    copy.__dict__ = {**layer.__dict__, **changed}
    return copy
