"""A hook that lets a module at the end of a block read the block's input."""

from typing import Any

import torch
from torch import nn


class BlockInputHook:
    """A forward pre-hook that keeps a layer's input until another layer of the same block takes it.

    Both layers are in one block, so that gradient checkpointing runs them together. The hook is a bound method, so
    that a deep copy of the model has its own hook on the copied layer.

    Args:
        layer: the base layer itself and not its wrapper, so that the hook works with and without one.
    """

    def __init__(self, layer: nn.Module):
        self._value: torch.Tensor | None = None
        self._handle = layer.register_forward_pre_hook(self._keep)

    def take(self) -> torch.Tensor | None:
        """Return the input of the layer's last forward pass and forget it, so that no tensor is kept alive."""
        value, self._value = self._value, None
        return value

    def close(self) -> None:
        """Remove the hook from the layer."""
        self._handle.remove()
        self._value = None

    def _keep(self, layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._value = arguments[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept tensor out of copies and pickles."""
        return self.__dict__ | {"_value": None}
