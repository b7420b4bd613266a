"""The check that two models compute the same."""

import torch
from torch import nn

from peftsearch.errors import ExportError

# Merging and folding change the order of sums; this is far above their rounding and far below what a lost module does.
TOLERANCE = 1e-4


@torch.no_grad()
def outputs(model: nn.Module) -> torch.Tensor:
    """Run a model in evaluation mode on 24 fixed random tokens.

    Args:
        model: of transformers, or of peft around one.

    Returns:
        (1, labels), (1, tokens, labels), (1, tokens, vocabulary), or (2, 1, tokens) of answers' starts and ends; the
        hidden states (1, tokens, width) of a model without a head.
    """
    size = min(model.config.get_text_config().vocab_size, 30_000)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(size // 4, size, (1, 24), generator=generator).to(next(model.parameters()).device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :5]
    found = model.eval()(**inputs)
    if "start_logits" in found:
        return torch.stack([found.start_logits, found.end_logits])
    return found.logits if "logits" in found else found.last_hidden_state


def check_equal(expected: torch.Tensor, found: torch.Tensor, *, what: str) -> float:
    """Compare two results of `outputs`.

    Args:
        expected: of the adapter.
        found: of the export, of the same shape.
        what: name of the format, for the message.

    Returns:
        the largest difference.

    Raises:
        ExportError: if it is above `TOLERANCE` times the largest value, or 1 if that is smaller.
    """
    difference = (expected - found).abs().max().item()
    limit = TOLERANCE * max(1.0, expected.abs().max().item())
    if not difference <= limit:
        raise ExportError(
            f"The {what} export computes other outputs than the adapter (largest difference {difference:.2g}, allowed "
            f"{limit:.2g}), so it was not written. Please report this with the configuration."
        )
    return difference
