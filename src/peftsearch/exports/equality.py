"""Check that an export computes the same outputs as the adapter."""

from collections.abc import Sequence
from typing import Any

import torch

from peftsearch.errors import ExportError
from peftsearch.modules.placement import input_device

# Merging and folding change the order of sums: this is far above their rounding and far below a lost module's effect.
TOLERANCE = 1e-4
# Pixels of a picture's side for a model that takes any.
_SIZE = 224


@torch.no_grad()
def outputs(model: Any, *, after: Sequence[int] = ()) -> torch.Tensor:
    """Run a model in evaluation mode on 24 fixed random tokens, or on a picture of random pixels.

    Args:
        model: a model of transformers, or peft's around one.
        after: tokens that follow the random ones, such as those whose rows were trained.

    Returns:
        the logits: (1, labels), (1, tokens, labels), (1, tokens, vocabulary), or (2, 1, tokens) for an answer's start
        and end. Without a head, the hidden states: (1, tokens, width).
    """
    inputs = _pixels(model) if model.main_input_name == "pixel_values" else _tokens(model, after)
    found = model.eval()(**inputs)
    if "start_logits" in found:
        return torch.stack([found.start_logits, found.end_logits])
    return found.logits if "logits" in found else found.last_hidden_state


def _tokens(model: Any, after: Sequence[int]) -> dict[str, torch.Tensor]:
    size = min(model.config.get_text_config().vocab_size, 30_000)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(size // 4, size, (1, 24), generator=generator)
    ids = torch.cat([drawn, torch.tensor([list(after)], dtype=torch.long)], 1).to(input_device(model))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs | ({"decoder_input_ids": ids[:, -5:]} if model.config.is_encoder_decoder else {})


def _pixels(model: Any) -> dict[str, torch.Tensor]:
    size = getattr(model.config, "image_size", _SIZE)
    height, width = (size, size) if isinstance(size, int) else size
    channels = getattr(model.config, "num_channels", 3)
    pixels = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    return {"pixel_values": pixels.to(input_device(model))}


def check_equal(expected: torch.Tensor, found: torch.Tensor, *, what: str) -> float:
    """Compare two results of `outputs`.

    Args:
        expected: outputs of the adapter.
        found: outputs of the export, in the same shape.
        what: name of the format, for the message.

    Returns:
        the largest difference.

    Raises:
        ExportError: if it is above `TOLERANCE`, or above `TOLERANCE` times the largest expected value.
    """
    difference = (expected - found).abs().max().item()
    limit = TOLERANCE * max(1.0, expected.abs().max().item())
    if not difference <= limit:
        raise ExportError(
            f"The {what} export computes other outputs than the adapter (largest difference {difference:.2g}, allowed "
            f"{limit:.2g}), so it was not written. Please report this with the configuration."
        )
    return difference
