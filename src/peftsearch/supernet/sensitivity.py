"""How much the loss depends on a module: first-order scores from weights and gradients."""

from collections.abc import Callable, Sequence

import torch

Saliency = list[torch.Tensor]  # weight * gradient of each tensor, in the order of the module's tensors


@torch.no_grad()
def take_saliency(parameters: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor | None]) -> Saliency:
    """theta * dL/dtheta of each tensor; zeros where a tensor had no part in the loss."""
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
    return list(torch._foreach_mul([p.detach() for p in parameters], gradients))


class ModuleSaliency:
    """Records of many modules at once, reduced to one number a module.

    Args:
        owners: for each tensor, the index of the module it belongs to; modules are numbered from 0 without gaps.
        sizes: (modules,) parameters of each module.
    """

    def __init__(self, owners: torch.Tensor, sizes: torch.Tensor):
        self.owners = owners
        self.sizes = sizes

    def importance(self, saliency: Saliency) -> torch.Tensor:
        """(modules,) mean |theta * grad|: I_n.

        Source: Chang et al. 2024, eq. 2.
        """
        return self._sum_by_module(torch.stack(torch._foreach_norm(saliency, ord=1))) / self.sizes

    def cosine(self, first: Saliency, second: Saliency) -> torch.Tensor:
        """(modules,) cosine of two records of the same module over all of its tensors; 0 if one of them is zero.

        The public code takes the mean over a module's tensors; the paper speaks of one cosine a module (eq. 3).
        """
        products = torch._foreach_mul(first, second)
        dot = self._sum_by_module(torch.stack([product.sum() for product in products]))
        norms = [
            self._sum_by_module(torch.stack(torch._foreach_norm(saliency, ord=2)) ** 2).sqrt()
            for saliency in (first, second)
        ]
        length = norms[0] * norms[1]
        return torch.where(length > 0, dot / length.clamp_min(torch.finfo(dot.dtype).tiny), 0.0)

    def _sum_by_module(self, values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(len(self.sizes)).index_add_(0, self.owners, values)


def cosine_weighted(modules: ModuleSaliency, trn: Saliency, val: Saliency) -> torch.Tensor:
    """s_n = I_trn + c_n * I_val (eqs 1-3)."""
    return modules.importance(trn) + modules.cosine(trn, val) * modules.importance(val)


def of_training(modules: ModuleSaliency, trn: Saliency, val: Saliency) -> torch.Tensor:
    """I_trn alone."""
    return modules.importance(trn)


def of_validation(modules: ModuleSaliency, trn: Saliency, val: Saliency) -> torch.Tensor:
    """I_val alone."""
    return modules.importance(val)


def of_both(modules: ModuleSaliency, trn: Saliency, val: Saliency) -> torch.Tensor:
    """I_trn + I_val, unweighted."""
    return modules.importance(trn) + modules.importance(val)


Sensitivity = Callable[[ModuleSaliency, Saliency, Saliency], torch.Tensor]
SENSITIVITIES: dict[str, Sensitivity] = {
    "cosine": cosine_weighted,
    "trn": of_training,
    "val": of_validation,
    "trn+val": of_both,
}
