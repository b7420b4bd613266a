"""The gates of a step, made from sampled weights or from a configuration."""

from collections.abc import Mapping

import torch

from peftsearch.modules.peft_module import UNMASKED, Mask
from peftsearch.space import Configuration, Placement
from peftsearch.supernet.architecture import OptionTable
from peftsearch.supernet.supernet import Gates, rank_masks


def differentiable_gates(
    table: OptionTable,
    live: list[Placement],
    *,
    gates: torch.Tensor,
    ranks: torch.Tensor,
    device: torch.device | str = "cpu",
) -> Gates:
    """Make gates that carry gradients to the architecture: every live module runs, even where its gate is 0.

    Args:
        table: placements and ranks of the space.
        live: the supernet's modules.
        gates: (placements,) in [0, 1].
        ranks: (placements, columns) weights of the ranks.
        device: of the model.
    """
    gate_rows = gates.to(device).unbind(0)
    mask_rows = torch.einsum("nd,ndr->nr", ranks, table.masks).to(device).unbind(0)
    return {p: _mask(table, table.index[p], gate_rows[table.index[p]], mask_rows[table.index[p]]) for p in live}


def _mask(table: OptionTable, i: int, gate: torch.Tensor, rank: torch.Tensor) -> Mask:
    return Mask(gate, rank[: int(table.ranks[i, -1])] if table.is_ranked[i] else None)


def fixed_gates(
    table: OptionTable,
    live: list[Placement],
    *,
    gates: torch.Tensor,
    ranks: torch.Tensor,
    device: torch.device | str = "cpu",
) -> Gates:
    """Make gates without gradient: a module whose gate is 0 is skipped, one at its full rank runs unmasked.

    Args:
        table: placements and ranks of the space.
        live: the supernet's modules.
        gates: (placements,) in [0, 1].
        ranks: (placements, columns) weights of the ranks, one-hot for a hard choice.
        device: of the model.
    """
    rows = torch.einsum("nd,ndr->nr", ranks, table.masks)
    # Before they are on the device: reading there would wait for it.
    is_full = (rows == 1).all(-1).tolist()
    rows = rows.to(device)
    is_ranked, widths, values = table.is_ranked.tolist(), table.ranks[:, -1].tolist(), _rounded(gates)
    masks: dict[Placement, Mask | None] = {}
    for placement in live:
        i = table.index[placement]
        if values[i] == 0:
            masks[placement] = None
            continue
        rank = rows[i, : widths[i]] if is_ranked[i] and not is_full[i] else None
        masks[placement] = Mask(None if values[i] == 1 else gates[i].to(device), rank)
    return masks


def configuration_gates(
    live: list[Placement], configuration: Configuration, widths: Mapping[Placement, int], device: torch.device | str
) -> Gates:
    """Make gates under which a supernet is the model of a configuration, with the supernet's weights.

    Args:
        live: the supernet's modules.
        configuration: choices to keep; every other module is skipped.
        widths: the largest rank of each placement.
        device: of the model.
    """
    ranks = {choice.placement: choice.rank for choice in configuration}
    return {p: _leading(ranks[p], widths[p], device) if p in ranks else None for p in live}


def _leading(rank: int, width: int, device: torch.device | str) -> Mask:
    return UNMASKED if rank == width else Mask(rank=rank_masks([rank], width)[0].to(device))


def _rounded(gates: torch.Tensor) -> list[float]:
    """Remove the rounding error of straight-through sampling, which can turn 1 into 0.9999999."""
    return gates.double().round(decimals=6).tolist()
