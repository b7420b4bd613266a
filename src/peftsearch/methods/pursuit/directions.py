"""The leading singular directions of a linear map's gradient, found through ordinary low-rank modules.

With A = Omega (orthonormal rows) and B = 0 the gradient of B is G Omega', where G is the gradient of the map's weight.
Its QR decomposition gives Q. With A = 0 and B = Q the gradient of A is Q' G, whose SVD gives singular values and right
directions. The two gradients are of different examples: Q fits the noise of those that it was found on, and would find
it again in theirs. G itself is never formed: this needs the memory of LoRA, and runs on quantised maps.

The decompositions run on the CPU: they are hundreds of small ones, and an accelerator waits for each of them.

Source: Halko, Martinsson and Tropp 2011, "Finding Structure with Randomness", algorithms 4.1 and 5.1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Directions(NamedTuple):
    """Directions of a gradient G (out_width, in_width), the one with the largest gain first.

    Args:
        right: (directions, in_width) unit rows v_k.
        gains: (directions,) estimates of sigma_k squared, without the part that noise adds.
        shares: (directions,) that part of the measured square which is no noise, in [0, 1].
    """

    right: torch.Tensor
    gains: torch.Tensor
    shares: torch.Tensor


def random_frame(rows: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Draw orthonormal rows, (rows, width)."""
    return torch.linalg.qr(torch.randn(width, rows, generator=generator)).Q.T.contiguous()


def range_of(sketches: Sequence[torch.Tensor]) -> torch.Tensor:
    """Find an orthonormal basis Q (out_width, rank) of the mean of sketches G Omega' (out_width, rank); on the CPU."""
    return torch.linalg.qr(torch.stack(tuple(sketches)).mean(0).cpu()).Q


def directions_of(projections: Sequence[torch.Tensor]) -> Directions:
    """Find the directions of the mean of projections Q' G (rank, in_width), one from each part of the examples.

    A direction that was found on all parts but one is measured on that one: the square of a noisy gradient is too
    large by its variance, the product of two independent ones is not.

    Args:
        projections: two or more.

    Returns:
        tensors on the CPU.
    """
    projections = [projection.cpu() for projection in projections]
    _, values, right = torch.linalg.svd(torch.stack(tuple(projections)).mean(0), full_matrices=False)
    crossed = [_crossed(projections, left_out) for left_out in range(len(projections))]
    gains = torch.stack(crossed).mean(0).clamp_min(0)
    shares = (gains / values.square().clamp_min(torch.finfo(values.dtype).tiny)).clamp_max(1)
    # A direction with the largest square can be all noise.
    order = torch.argsort(gains, descending=True, stable=True)
    return Directions(right[order], gains[order], shares[order])


def _crossed(projections: Sequence[torch.Tensor], left_out: int) -> torch.Tensor:
    """Singular values of the other parts' mean, times what the part left out has in their directions."""
    others = torch.stack([p for i, p in enumerate(projections) if i != left_out]).mean(0)
    left, values, right = torch.linalg.svd(others, full_matrices=False)
    return values * torch.einsum("ik,ij,kj->k", left, projections[left_out], right)


def crossed_square(gradients: Sequence[torch.Tensor]) -> float:
    """Estimate the squared norm of a gradient from its independent estimates, without the part that noise adds."""
    stacked = torch.stack([gradient.flatten() for gradient in gradients]).double()
    total = stacked.sum(0)
    pairs = total @ total - (stacked * stacked).sum()
    return max(0.0, float(pairs) / (len(gradients) * (len(gradients) - 1)))
