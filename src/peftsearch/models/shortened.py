"""Leave out most of a model's blocks for a while, to learn from a few of them what all of them cost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from peftsearch.models.blocks import find_block_lists


def alike_lists(model: nn.Module) -> dict[str, int]:
    """Find the lists of blocks whose elements have the same modules and shapes: name -> number of blocks.

    Args:
        model: on any device, without modules attached.

    Returns:
        nothing if the blocks of any list differ, so that a few do not stand for all.
    """
    lists = find_block_lists(model)
    alike = all(len({_form(block) for block in found.blocks}) == 1 for found in lists)
    return {found.path: len(found.blocks) for found in lists} if alike else {}


def _form(block: nn.Module) -> tuple:
    kinds = tuple(type(module).__name__ for module in block.modules())
    # T5's first block alone has the map of relative positions, which is small.
    shapes = tuple(tuple(p.shape) for name, p in block.named_parameters() if "relative_attention_bias" not in name)
    return tuple(kind for kind in kinds if kind != "Embedding"), shapes


@contextmanager
def shortened(model: nn.Module, counts: dict[str, int]) -> Iterator[None]:
    """Keep only the first blocks of some lists inside of the context.

    Args:
        model: is changed in place, and is as before afterwards.
        counts: name of a list -> its blocks that stay.
    """
    whole: Sequence[tuple[str, nn.Module]] = [(path, model.get_submodule(path)) for path in counts]
    try:
        for path, blocks in whole:
            model.set_submodule(path, nn.ModuleList(list(blocks.children())[: counts[path]]))
        yield
    finally:
        for path, blocks in whole:
            model.set_submodule(path, blocks)
