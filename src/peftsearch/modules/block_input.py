"""What lets a module at the end of a block read the block's input."""

from typing import Any

import torch
from torch import nn


class Tap:
    """The input of one layer, kept from its forward pass until another layer of the same block takes it.

    Both layers lie in one block, so that gradient checkpointing runs them together. The hook is a bound method: a
    deep copy of the model gets a copy of the tap that belongs to the copied layer.

    Args:
        layer: the base layer itself, not what wraps it, so that it does not matter whether anything does.
    """

    def __init__(self, layer: nn.Module):
        self._value: torch.Tensor | None = None
        self._handle = layer.register_forward_pre_hook(self._keep)

    def take(self) -> torch.Tensor | None:
        """The input of the layer's last forward pass; a second call gives None, so that no tensor is kept alive."""
        value, self._value = self._value, None
        return value

    def close(self) -> None:
        """Take the hook off the layer."""
        self._handle.remove()
        self._value = None

    def _keep(self, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._value = arguments[0]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_value": None}
