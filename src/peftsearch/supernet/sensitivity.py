"""Sensitivity: first-order scores, from weights and gradients, of how much the loss depends on a module.

Equation numbers are those of Chang et al. 2024 (BIPEFT).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

# weight * gradient of each of some tensors, elementwise and in their order.
Saliency = list[torch.Tensor]


@torch.no_grad()
def take_saliency(parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]) -> Saliency:
    """Multiply every weight by its gradient: theta * dL/dtheta.

    Args:
        parameters: tensors of any shape.
        gradients: of each of them; None where a tensor had no part in the loss, which gives zeros.
    """
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
    return list(torch._foreach_mul([p.detach() for p in parameters], gradients))


class ModuleSaliency:
    """Reduces the saliencies of many tensors to one number for each module.

    Args:
        owners: for each tensor, the index of the module it belongs to; modules are numbered from 0 without gaps.
        sizes: (modules,) parameters of each module.
    """

    def __init__(self, owners: torch.Tensor, sizes: torch.Tensor):
        self.owners = owners
        self.sizes = sizes

    def importance(self, saliency: Saliency) -> torch.Tensor:
        """Compute the (modules,) mean of |theta * grad|: I_n of eq. 2."""
        return self._sum_by_module(torch._foreach_norm(saliency, ord=1)) / self.sizes

    def cosine(self, first: Saliency, second: Saliency) -> torch.Tensor:
        """Compute the (modules,) cosine c_n of two saliencies over all tensors of a module; 0 if one of them is zero.

        Source: eq. 3, one cosine for each module. The public code takes the mean over the module's tensors.
        """
        products = torch._foreach_mul(first, second)
        dot = self._sum_by_module([product.sum() for product in products])
        norms = [
            self._sum_by_module([norm**2 for norm in torch._foreach_norm(saliency, ord=2)]).sqrt()
            for saliency in (first, second)
        ]
        length = norms[0] * norms[1]
        return torch.where(length > 0, dot / length.clamp_min(torch.finfo(dot.dtype).tiny), 0.0)

    def _sum_by_module(self, found: Sequence[torch.Tensor]) -> torch.Tensor:
        # Layers of a large model may be on several devices.
        values = torch.stack([value.to(self.owners.device) for value in found])
        return values.new_zeros(len(self.sizes)).index_add_(0, self.owners, values)


class Records(NamedTuple):
    """What a search step tells about the live modules.

    Args:
        modules: which tensors belong to which module.
        trn: saliency of their tensors on the weights' data.
        val: the same on the architecture's data.
        effects: (modules,) first-order rise of the architecture's loss without the module: minus the loss's derivative
            by the module's gate.
    """

    modules: ModuleSaliency
    trn: Saliency
    val: Saliency
    effects: torch.Tensor


def cosine_weighted(records: Records) -> torch.Tensor:
    """Compute s_n = I_trn + c_n * I_val (eqs 1 to 3), (modules,)."""
    modules, trn, val, _ = records
    return modules.importance(trn) + modules.cosine(trn, val) * modules.importance(val)


def of_training(records: Records) -> torch.Tensor:
    """Compute I_trn alone, (modules,)."""
    return records.modules.importance(records.trn)


def of_validation(records: Records) -> torch.Tensor:
    """Compute I_val alone, (modules,)."""
    return records.modules.importance(records.val)


def of_both(records: Records) -> torch.Tensor:
    """Compute I_trn + I_val, (modules,)."""
    return of_training(records) + of_validation(records)


def effect_per_parameter(records: Records) -> torch.Tensor:
    """Compute the effect over the parameters, (modules,).

    Not the paper's. It has a sign, so that noise cancels over the steps, it is measured on other data than the weights
    were trained on, and it does not depend on how a module is parametrised: scaling LoRA's A by c and B by 1 / c
    leaves it as it is. A gate's derivative as a score: Lee et al. 2019, "SNIP", section 4.1.
    """
    return records.effects / records.modules.sizes


SENSITIVITIES: dict[str, Callable[[Records], torch.Tensor]] = {
    "cosine": cosine_weighted,
    "trn": of_training,
    "val": of_validation,
    "trn+val": of_both,
    "effect": effect_per_parameter,
}
