"""Modules in forms that other libraries have too: a LoRA update, and a bottleneck adapter.

A kind that computes the same as one of them can be exported as that.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LoraUpdate:
    """A low-rank update of a linear layer, y + B A x + bias.

    Args:
        A: (rank, in_width); the rank may be 0.
        B: (out_width, rank).
        bias: (out_width,); None for no bias.
    """

    A: torch.Tensor
    B: torch.Tensor
    bias: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """Number of components."""
        return self.A.shape[0]

    def __add__(self, other: "LoraUpdate") -> "LoraUpdate":
        """Join two updates of one layer into one; its rank is the sum of theirs."""
        biases = [bias for bias in (self.bias, other.bias) if bias is not None]
        return LoraUpdate(
            torch.cat([self.A, other.A]),
            torch.cat([self.B, other.B], 1),
            torch.stack(biases).sum(0) if biases else None,
        )

    def padded(self, rank: int) -> "LoraUpdate":
        """Make the same update with a larger rank, by components of zeros."""
        missing = rank - self.rank
        return LoraUpdate(
            torch.cat([self.A, self.A.new_zeros(missing, self.A.shape[1])]),
            torch.cat([self.B, self.B.new_zeros(self.B.shape[0], missing)], 1),
            self.bias,
        )


@dataclass(frozen=True)
class PlainBottleneck:
    """A bottleneck adapter, y + Up gelu(Down x + b) + c, with gelu in its tanh form.

    Its input x is the layer's output y, or the block's input for an adapter parallel to the block.

    Args:
        down: Down, (rank, width).
        down_bias: b, (rank,).
        up: Up, (width, rank).
        up_bias: c, (width,).
    """

    down: torch.Tensor
    down_bias: torch.Tensor
    up: torch.Tensor
    up_bias: torch.Tensor

    @property
    def rank(self) -> int:
        """Width of the bottleneck."""
        return len(self.down_bias)
