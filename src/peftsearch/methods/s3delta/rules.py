"""The rules of S3Delta as pure functions: shift, probabilities, relaxed gates."""

import math

import torch
from scipy.optimize import brentq

# Keeps probabilities off 0 and 1.
MARGIN = 1e-7


def solve_shift(logits: torch.Tensor, sizes: torch.Tensor, budget: float, *, sharpness: float = 1.0) -> float:
    """Solve sum_i n_i sigmoid(sharpness (alpha_i - zeta)) = B for zeta; minus infinity if everything fits.

    At zeta = alpha_i - logit(B / sum n) / sharpness module i is on with probability B / sum n. So the smallest
    alpha gives a lower bound of zeta, and the largest an upper one.

    Args:
        logits: (modules,) alpha.
        sizes: (modules,) n, parameters.
        budget: B, parameters, above 0.
        sharpness: 1 / beta of the paper, above 0.

    Source: Hu et al. 2022, section 3 (shifted global sigmoid); the public code starts scipy's fsolve from the last
    zeta, which can miss, while a bracket cannot.
    """
    logits, sizes = logits.detach().double(), sizes.double()
    total = float(sizes.sum())
    if budget >= total:
        return -math.inf
    even = math.log(budget / (total - budget)) / sharpness
    # One unit more on each side, since rounding may put the root of equal logits on the wrong side of its bound.
    low, high = float(logits.min()) - even - 1 / sharpness, float(logits.max()) - even + 1 / sharpness

    def excess(shift: float) -> float:
        return float(sizes @ torch.sigmoid(sharpness * (logits - shift))) / budget - 1

    # The relative error of the sum is at most sharpness times that of the shift.
    shift, _ = brentq(excess, low, high, xtol=1e-9 / sharpness, full_output=True)
    return shift


def probabilities(logits: torch.Tensor, sizes: torch.Tensor, budget: float, *, sharpness: float = 1.0) -> torch.Tensor:
    """Compute probabilities, (modules,) in (0, 1), of which the expected size is the budget.

    The shift is a constant for gradients. Arguments as in `solve_shift`.
    """
    shift = solve_shift(logits, sizes, budget, sharpness=sharpness)
    return torch.sigmoid(sharpness * (logits - shift)) * (1 - 2 * MARGIN) + MARGIN


def let_compete(probability: torch.Tensor) -> torch.Tensor:
    """Compute p_i / sum_j p_j times the constant sum_j p_j: the same values with other gradients.

    With g the gradient of a loss by the result, the gradient by p_i is g_i - sum_j g_j p_j / sum_j p_j: what one
    module gains, the others lose.

    Args:
        probability: (modules,) p.

    Source: Hu et al. 2022, the public code's shift_detach.
    """
    total = probability.sum()
    return probability / total * total.detach()


def binary_concrete(probability: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
    """Draw soft gates sigmoid((logit(u) + logit(p)) / temperature), (modules,) in [0, 1].

    Args:
        probability: (modules,) p.
        noise: (modules,) u, uniform in [0, 1).
        temperature: above 0; towards 0 the gates become hard.

    Source: Maddison et al. 2017, "The concrete distribution", appendix B.
    """
    return torch.sigmoid((torch.logit(noise) + torch.logit(probability)) / temperature)


def keep_one_on(gates: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    """If all gates came out as 0, set the likeliest to its probability; both arguments are (modules,)."""
    if bool((gates != 0).any()):
        return gates
    likeliest = torch.nn.functional.one_hot(probability.argmax(), len(probability))
    return gates + likeliest * probability
