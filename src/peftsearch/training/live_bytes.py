"""Count the bytes of the tensors of a training step as they come and go, on the meta device: nothing is computed."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations make inside of the context, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it makes."""
        before = {id(storage) for storage in self._storages((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in self._storages(out):
            if id(storage) not in before and storage not in self._seen:
                self._add(storage)
        return out

    @staticmethod
    def _storages(tree: Any) -> list[Any]:
        return [leaf.untyped_storage() for leaf in tree_iter(tree) if isinstance(leaf, torch.Tensor)]

    def _add(self, storage: Any) -> None:
        size = storage.nbytes()
        self._seen.add(storage)
        weakref.finalize(storage, self._drop, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _drop(self, size: int) -> None:
        self.now -= size


class _Fused(torch.autograd.Function):
    """Attention as a fused kernel remembers it: queries, keys, values, the output and a number for each query."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        output = query.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return output

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3])


class FusedAttention(TorchFunctionMode):
    """Takes torch's attention for a fused kernel; on the meta device it would make the whole matrix of weights.

    Args:
        drops: whether the device's kernel drops weights out by itself; a CPU's does not, and makes the matrix then.
    """

    def __init__(self, *, drops: bool):
        super().__init__()
        self.drops = drops

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Replace the one function; leave all others."""
        options = dict(kwargs or {})
        if func is not scaled_dot_product_attention or (options.get("dropout_p") and not self.drops):
            return func(*args, **options)
        named = dict(zip(("query", "key", "value"), args, strict=False)) | options
        return _Fused.apply(named["query"], named["key"], named["value"])


def peak_of_step(step: Callable[[], torch.Tensor], *, fused_dropout: bool) -> int:
    """Count the most bytes that a forward and a backward pass hold beside the model, gradients included.

    Args:
        step: the forward pass on the meta device, which returns the loss.
        fused_dropout: as `drops` of `FusedAttention`.
    """
    with FusedAttention(drops=fused_dropout), LiveBytes() as live:
        step().backward()
    return live.peak
