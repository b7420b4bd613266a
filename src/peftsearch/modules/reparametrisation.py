"""Train prefixes through a small network, and replace it by its output afterwards."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from peftsearch.modules.kinds.prefix import Prefix

HIDDEN_WIDTH = 32


class PrefixNetwork(nn.Module):
    """The network theta + tanh(E A^T) B^T / hidden, with E (rank, hidden), A (hidden, hidden) and B (width, hidden).

    E embeds the positions. B starts at zero, so that the output starts at theta. The positions share A and B: a step
    on one position moves them all, which trains more steadily than free vectors. Adam moves every entry of B by about
    the learning rate; through the division by `hidden` a step moves the prefix by at most that rate, as it moves free
    vectors. Without the division a step is about 20 times as long, and prefixes learn nothing at rates that suit
    other kinds.

    Args:
        rank: number of positions of the prefix.
        width: width of its vectors, in features.
    """

    def __init__(self, rank: int, width: int):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(rank, HIDDEN_WIDTH))
        self.inner = nn.Parameter(torch.randn(HIDDEN_WIDTH, HIDDEN_WIDTH) / HIDDEN_WIDTH**0.5)
        self.outer = nn.Parameter(torch.zeros(width, HIDDEN_WIDTH))

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        """Compute the prefix from the free vectors; both are (rank, width)."""
        return theta + torch.tanh(self.embedding @ self.inner.T) @ self.outer.T / HIDDEN_WIDTH


def reparametrise(model: nn.Module) -> None:
    """Let a network produce the keys and values of every trainable prefix.

    The model's outputs stay the same. It has more trainable parameters until `fold` is called.

    Args:
        model: any; one without prefixes is left as it is.

    Source: Li and Liang 2021, "Prefix-tuning", section 4.3; there the network alone makes the prefix, here its output
    is added to free vectors, so that training starts at the prefix as it was.
    """
    for prefix in _prefixes(model):
        for name in ("K", "V"):
            theta = getattr(prefix, name)
            if theta.requires_grad and not parametrize.is_parametrized(prefix, name):
                network = PrefixNetwork(*theta.shape).to(device=theta.device, dtype=theta.dtype)
                parametrize.register_parametrization(prefix, name, network)


def fold(model: nn.Module) -> None:
    """Replace every network by its output: plain keys and values under their old names."""
    for prefix in _prefixes(model):
        for name in ("K", "V"):
            if parametrize.is_parametrized(prefix, name):
                parametrize.remove_parametrizations(prefix, name, leave_parametrized=True)


def _prefixes(model: nn.Module) -> list[Prefix]:
    return [module for module in model.modules() if isinstance(module, Prefix)]
