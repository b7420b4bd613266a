"""Nested state of a training as plain JSON and named tensors, and back: nothing is pickled."""

from collections.abc import Mapping
from typing import Any

import torch

from peftsearch.errors import CheckpointError

# None, bool, int, float, str, a tensor, or lists, tuples and mappings of those; tuples come back as lists.
PyTree = Any


def split(pytree: PyTree) -> tuple[Any, dict[str, torch.Tensor]]:
    """Take the tensors out of a pytree.

    Returns:
        the pytree as JSON can hold it, with {"mapping": [[key, value], ...]} for a mapping and {"tensor": name} for a
        tensor; and the tensors by name, copied to the CPU.

    Raises:
        TypeError: for a value of another type than those of a pytree.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _plain(pytree, tensors), tensors


def _plain(pytree: PyTree, tensors: dict[str, torch.Tensor]) -> Any:
    if pytree is None or isinstance(pytree, bool | int | float | str):
        return pytree
    if isinstance(pytree, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = pytree.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(pytree, list | tuple):
        return [_plain(value, tensors) for value in pytree]
    if isinstance(pytree, Mapping):
        return {"mapping": [[_plain(k, tensors), _plain(v, tensors)] for k, v in pytree.items()]}
    raise TypeError(f"A {type(pytree).__name__} cannot be part of a checkpoint.")


def join(plain: Any, tensors: Mapping[str, torch.Tensor]) -> PyTree:
    """Put a pytree together again from the results of `split`.

    Raises:
        CheckpointError: if the two do not belong together.
    """
    if isinstance(plain, list):
        return [join(value, tensors) for value in plain]
    if not isinstance(plain, dict):
        return plain
    try:
        if "tensor" in plain:
            return tensors[plain["tensor"]]
        return {join(k, tensors): join(v, tensors) for k, v in plain["mapping"]}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"A checkpoint lacks a part: {error}.") from error
