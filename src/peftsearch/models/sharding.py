"""Share a frozen model out over processes: each keeps a part of every block, and gets the rest while it computes it.

Source: torch's FSDP2 (`fully_shard`; Zhao et al. 2023, section 3). Ours: blocks alone are shared out.
Modules, task heads, embeddings and all else outside of the blocks stay whole in every process, so that modules can be
added and removed, and gradients of what is trained be sent, as without it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from accelerate import PartialState
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from peftsearch import processes
from peftsearch.models.blocks import find_block_lists


def shard_blocks(model: nn.Module) -> None:
    """Leave each process a part of the weights of every block; they are frozen for good.

    Args:
        model: whole and the same in every process, in main memory perhaps: the parts are put on the devices.
    """
    device: torch.device | None = PartialState().device
    assert device is not None, "accelerate knows it once processes have joined"
    mesh = init_device_mesh(device.type, (processes.num_processes(),))
    lists = find_block_lists(model)
    modules = [block for found in lists for block in found.blocks]
    blocks = [_sharded(block, mesh) for block in modules]
    for found in lists:
        for before, block in pairwise([found.blocks[0], *found.blocks]):
            # By itself torch fetches in the reverse order of all passes since the last backward one; evaluations take
            # more in some processes.
            cast(FSDPModule, block).set_modules_to_backward_prefetch([cast(FSDPModule, before)])
    parts = {parameter for block in modules for parameter in block.parameters()}
    for parent in dict.fromkeys(found.parent for found in lists):
        # Fetches a block while the one before computes, and has nothing of its own to fetch.
        stack = model.get_submodule(parent)
        fully_shard(stack, mesh=mesh, ignored_params={p for p in stack.parameters() if p not in parts})
    for number, block in enumerate(modules):
        # Before torch's own hook, which fetches.
        block.register_forward_pre_hook(_InStep(blocks, number), prepend=True)


def is_shared_out(model: nn.Module) -> bool:
    """Whether `shard_blocks` has left this process a part of a model alone."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def _sharded(block: nn.Module, mesh: DeviceMesh) -> FSDPModule:
    block.requires_grad_(False)
    return fully_shard(block, mesh=mesh, reshard_after_forward=True)


class _InStep:
    """Before a block computes without gradients: fetch for others what they compute meanwhile.

    Evaluations and texts take more passes in one process than in another, and each needs the parts of all. Trainings
    take the same passes everywhere.

    Args:
        blocks: of the model, in the same order in every process.
        number: of this one.
    """

    def __init__(self, blocks: Sequence[FSDPModule], number: int):
        self.blocks, self.number = blocks, number

    def __call__(self, *_: object) -> None:
        if not torch.is_grad_enabled():
            self.fetch_until(self.number)

    def fetch_until(self, turn: int) -> None:
        """Fetch blocks with the others until it is this process's turn; `len(blocks)` waits for all to finish."""
        while (wanted := processes.smallest(turn)) != turn:
            self.blocks[wanted].unshard()
            self.blocks[wanted].reshard()


def finish_passes(model: nn.Module) -> None:
    """End passes without gradients: fetch for the others what they still compute, until all are here.

    Args:
        model: any; nothing happens unless its blocks are shared out.
    """
    hooks = (hook for module in model.modules() for hook in module._forward_pre_hooks.values())
    found = next((hook for hook in hooks if isinstance(hook, _InStep)), None)
    if found is not None:
        found.fetch_until(len(found.blocks))
