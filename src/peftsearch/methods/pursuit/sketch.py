"""Two gradient passes through a LoRA module that find the directions of its map's gradient."""

from collections.abc import Sequence

import torch

from peftsearch.methods.pursuit.directions import Directions, directions_of, random_frame, range_of
from peftsearch.modules.kinds.lora import Lora
from peftsearch.searches.growth import ModuleTensors

# Squared norm of a row of LoRA's A as it starts: its variance 1 / (3 in_width), times the width.
ROW_SQUARE = 1 / 3


class LoraSketch:
    """A LoRA module whose first components hold what has been trained, and whose others look for directions.

    Call `look_along` and take the gradients of B, call `read_range` with them and take those of A over other examples,
    and call `read_directions` with those. The output of the model is the same all the while. `draw_rows` comes before
    `grown`.

    Args:
        module: with the held components in front.
        held: their number.
    """

    def __init__(self, module: Lora, held: int):
        self.module, self.held = module, held
        self.directions = Directions(module.A[:0].detach(), module.A.new_zeros(0), module.A.new_zeros(0))
        self._drawn = module.A[:0].detach()

    @torch.no_grad()
    def draw_rows(self, generator: torch.Generator) -> None:
        """Draw the rows that new ones are mixed with, as LoRA draws them, whatever else has drawn before."""
        rows, width = self.module.A.shape
        drawn = (2 * torch.rand(rows, width, generator=generator) - 1) / width**0.5
        # Those of the held components were drawn before.
        self._drawn = drawn[self.held :].to(self.module.A)

    @torch.no_grad()
    def look_along(self, generator: torch.Generator) -> None:
        """Put random orthonormal rows into A, and zeros into B."""
        a, b = self.module.A[self.held :], self.module.B[:, self.held :]
        frame = random_frame(min(a.shape), a.shape[1], generator).to(a)
        a.zero_()[: len(frame)] = frame
        b.zero_()

    @torch.no_grad()
    def read_range(self, gradients_of_b: Sequence[torch.Tensor]) -> None:
        """Put a basis of the gradient's range into B, and zeros into A.

        Args:
            gradients_of_b: (out_width, rank), one for each part of the examples.
        """
        a, b = self.module.A[self.held :], self.module.B[:, self.held :]
        basis = range_of([gradient[:, self.held :] for gradient in gradients_of_b])
        b.zero_()[:, : basis.shape[1]] = basis
        a.zero_()

    @torch.no_grad()
    def read_directions(self, gradients_of_a: Sequence[torch.Tensor]) -> None:
        """Keep the directions.

        Args:
            gradients_of_a: (rank, in_width), one for each part of the examples.
        """
        found = directions_of([gradient[self.held :] for gradient in gradients_of_a])
        self.directions = found._replace(gains=found.gains * ROW_SQUARE)

    @torch.no_grad()
    def grown(self, rank: int) -> ModuleTensors:
        """The tensors of the module with its first new directions, at a rank of at least the held one.

        A new row of A is the direction as far as that is no noise, and a drawn row for the rest.
        """
        a, b = self.module.A[: self.held], self.module.B[:, : self.held]
        found, shares = self.directions.right[: rank - self.held], self.directions.shares[: rank - self.held, None]
        new = (shares * ROW_SQUARE).sqrt() * found + (1 - shares).sqrt() * self._drawn[: len(found)].to(found)
        return {"A": torch.cat([a, new.to(a)]), "B": torch.cat([b, b.new_zeros(len(b), len(new))], dim=1)}
