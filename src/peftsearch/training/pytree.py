"""Nested state of a training as plain JSON and named tensors, and back: nothing is pickled."""

from collections.abc import Mapping
from typing import Any

import torch

from peftsearch.errors import CheckpointError

# None, bool, int, float, str, a tensor, or lists, tuples and mappings of those; tuples come back as lists.
PyTree = Any


def split(tree: PyTree) -> tuple[Any, dict[str, torch.Tensor]]:
    """Take the tensors out of a tree.

    Returns:
        what JSON can hold, in which every mapping and tensor is a mapping with one key that says which; and the
        tensors by name, on the CPU and apart from those of the tree.

    Raises:
        TypeError: for a value that has no place in a tree.
    """
    tensors: dict[str, torch.Tensor] = {}
    return _plain(tree, tensors), tensors


def _plain(tree: PyTree, tensors: dict[str, torch.Tensor]) -> Any:
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = tree.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(tree, list | tuple):
        return [_plain(value, tensors) for value in tree]
    if isinstance(tree, Mapping):
        return {"mapping": [[_plain(k, tensors), _plain(v, tensors)] for k, v in tree.items()]}
    raise TypeError(f"A {type(tree).__name__} cannot be part of a checkpoint.")


def join(plain: Any, tensors: Mapping[str, torch.Tensor]) -> PyTree:
    """Put a tree together again.

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
