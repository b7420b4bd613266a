"""Forms of modules that other libraries know, in which a kind can say what it computes."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LoraUpdate:
    """y + B A x + bias.

    Args:
        A: (rank, in_width), the rank may be 0.
        B: (out_width, rank).
        bias: (out_width,), or None.
    """

    A: torch.Tensor
    B: torch.Tensor
    bias: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """Number of components."""
        return self.A.shape[0]

    def __add__(self, other: "LoraUpdate") -> "LoraUpdate":
        biases = [bias for bias in (self.bias, other.bias) if bias is not None]
        return LoraUpdate(
            torch.cat([self.A, other.A]),
            torch.cat([self.B, other.B], 1),
            torch.stack(biases).sum(0) if biases else None,
        )

    def padded(self, rank: int) -> "LoraUpdate":
        """The same update with components of zeros up to a rank."""
        missing = rank - self.rank
        return LoraUpdate(
            torch.cat([self.A, self.A.new_zeros(missing, self.A.shape[1])]),
            torch.cat([self.B, self.B.new_zeros(self.B.shape[0], missing)], 1),
            self.bias,
        )


@dataclass(frozen=True)
class PlainBottleneck:
    """y + Up gelu(Down x + b) + c, with gelu in its tanh form; x is y, or the block's input beside the block.

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
