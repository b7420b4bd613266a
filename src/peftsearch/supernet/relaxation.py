"""Ways to turn logits into weights of the options of a decision."""

from collections.abc import Callable

import torch
from torch.nn.functional import gumbel_softmax

# (logits (decisions, options), temperature) -> weights (decisions, options), each row summing to 1
Relaxation = Callable[[torch.Tensor, float], torch.Tensor]


def gumbel(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Sample one option a row; the gradient is that of the Gumbel-softmax (straight-through).

    Source: Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax", section 2.2.
    """
    return gumbel_softmax(logits, tau=temperature, hard=True)


def softmax(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Weigh all options by their probability; the temperature plays no part (BIPEFT's ablation "no Gumbel")."""
    return torch.softmax(logits, dim=-1)


RELAXATIONS: dict[str, Relaxation] = {"gumbel": gumbel, "softmax": softmax}
