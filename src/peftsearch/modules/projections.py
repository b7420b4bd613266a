"""Products with matrices of few rows or columns, in the order in which BLAS libraries are quick at them.

On a CPU with 2,048 tokens of width 1,536 and rank 8, the gradient of an up-projection takes 7.4 ms as dy^T h and
1.4 ms as (h^T dy)^T, that of its input 3.9 ms as dy B and 1.0 ms as (B^T dy^T)^T (one thread). Autograd computes a
gradient in the layout of its operand; so operands are given the layout here that leads to the quick order.
"""

import torch


def project_down(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x W^T + b.

    Args:
        x: (batch, tokens, width).
        weight: W, (rank, width).
        bias: b, (rank,).

    Returns:
        (batch, tokens, rank) in the dtype of `weight`, each component contiguous over the tokens.
    """
    tokens = x.to(weight.dtype).flatten(0, -2).T
    hidden = weight @ tokens if bias is None else torch.addmm(bias[:, None], weight, tokens)
    return hidden.T.unflatten(0, x.shape[:-1])


def add_projection(
    y: torch.Tensor, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """y + h W^T + b in one kernel, without a tensor for the product.

    Args:
        y: (batch, tokens, out_width).
        hidden: h, (batch, tokens, rank).
        weight: W, (out_width, rank).
        bias: b, (out_width,).

    Returns:
        (batch, tokens, out_width) in the dtype of `y`.
    """
    if y.dtype != hidden.dtype:
        return y + torch.nn.functional.linear(hidden, weight, bias).to(y.dtype)
    hidden, columns = hidden.flatten(0, -2), weight.to(y.dtype).T
    if bias is not None:
        ones = hidden.new_ones(1, len(hidden))
        hidden, columns = torch.cat([hidden.T, ones]).T, torch.cat([columns, bias.to(y.dtype)[None]])
    if not columns.is_cuda:
        columns = columns.contiguous()
    return torch.addmm(y.flatten(0, -2), hidden, columns).view_as(y)
