"""Where a model computes whose layers accelerate has put on several devices, in CPU memory or on the disk."""

import torch
from torch import nn


def execution_device(layer: nn.Module) -> torch.device | None:
    """Find the device on which a layer of a dispatched model computes; None where no hook of accelerate decides.

    An offloaded layer has no weights but while it runs: its parameters tell no device.
    """
    found = getattr(getattr(layer, "_hf_hook", None), "execution_device", None)
    return None if found is None else torch.device(found)


def input_device(model: nn.Module) -> torch.device:
    """Find the device for a model's inputs: that of its first weights which are in memory."""
    return next((p.device for p in model.parameters() if not p.is_meta), torch.device("cpu"))


def is_dispatched(model: nn.Module) -> bool:
    """Tell whether accelerate has placed a model's layers in more than one place."""
    places = getattr(model, "hf_device_map", None) or {}
    return len(set(places.values())) > 1
