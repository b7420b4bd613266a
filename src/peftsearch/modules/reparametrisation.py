"""Train prefixes through a small network, and fold it away afterwards."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from peftsearch.modules.kinds.prefix import Prefix

HIDDEN_WIDTH = 32


class Bottleneck(nn.Module):
    """theta + tanh(E A^T) B^T / hidden, with E (rank, hidden), A (hidden, hidden) and B (width, hidden).

    E embeds the positions. B starts at zero, so that the start is theta. Positions share A and B, so that a step on
    one moves all of them, which trains steadier than free vectors. Adam moves every entry of B by about the learning
    rate; divided by their number, they move the prefix by at most that rate, as free vectors would. Without the
    division a step is about 20 times as long, and no prefix learns anything at rates that suit other kinds.

    Args:
        rank: positions of the prefix.
        width: of its vectors.
    """

    def __init__(self, rank: int, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(rank, HIDDEN_WIDTH))
        self.inner = nn.Parameter(torch.randn(HIDDEN_WIDTH, HIDDEN_WIDTH) / HIDDEN_WIDTH**0.5)
        self.outer = nn.Parameter(torch.zeros(width, HIDDEN_WIDTH))

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        """(rank, width) to (rank, width)."""
        return theta + torch.tanh(self.embedding @ self.inner.T) @ self.outer.T / HIDDEN_WIDTH


def reparametrise(model: nn.Module) -> None:
    """Let a bottleneck produce the keys and values of every trainable prefix; a model without prefixes is untouched.

    The model computes what it did before. Its trainable parameters are more, until `fold`.

    Source: Li and Liang 2021, "Prefix-tuning", section 4.3; there the network alone makes the prefix, here it is added
    to free vectors, so that the start is the one that the prefix had.
    """
    for prefix in _prefixes(model):
        for name in ("K", "V"):
            theta = getattr(prefix, name)
            if theta.requires_grad and not parametrize.is_parametrized(prefix, name):
                bottleneck = Bottleneck(*theta.shape).to(device=theta.device, dtype=theta.dtype)
                parametrize.register_parametrization(prefix, name, bottleneck)


def fold(model: nn.Module) -> None:
    """Replace every bottleneck by what it produces: plain keys and values, with the names they had."""
    for prefix in _prefixes(model):
        for name in ("K", "V"):
            if parametrize.is_parametrized(prefix, name):
                parametrize.remove_parametrizations(prefix, name, leave_parametrized=True)


def _prefixes(model: nn.Module) -> list[Prefix]:
    return [module for module in model.modules() if isinstance(module, Prefix)]
