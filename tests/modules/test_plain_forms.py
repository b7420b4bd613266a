"""What kinds say that they are, for other libraries, is what they compute."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, linear
from transformers.pytorch_utils import Conv1D

from peftsearch.kinds import KINDS, LoraUpdate, PeftModule, Role

WIDTH, OUT_WIDTH, RANK = 40, 48, 3


def drawn(kind: str, layer: nn.Module) -> PeftModule:
    module = KINDS[kind].build(layer, RANK if KINDS[kind].ranked else 1, Role.VALUE)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize("layer", [nn.Linear(WIDTH, OUT_WIDTH), Conv1D(OUT_WIDTH, WIDTH)])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_lora_update_computes_what_the_module_does(kind, layer):
    module = drawn(kind, layer)
    update = module.as_lora(layer)
    assert (update is not None) == (kind in ("lora", "bitfit"))
    if update is not None:
        x, y = torch.randn(2, 5, WIDTH), torch.randn(2, 5, OUT_WIDTH)
        for same in (update, update.padded(7)):
            found = y + linear(linear(x, same.A), same.B, same.bias)
            torch.testing.assert_close(found, module(x, y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_plain_bottleneck_computes_what_the_module_does(kind):
    module = drawn(kind, nn.Linear(WIDTH, OUT_WIDTH))
    plain = module.as_bottleneck()
    assert (plain is not None) == ("adapter" in kind)
    if plain is not None:
        x, y = torch.randn(2, 5, OUT_WIDTH), torch.randn(2, 5, OUT_WIDTH)
        source = x if module.reads_block_input else y
        hidden = gelu(linear(source, plain.down, plain.down_bias), approximate="tanh")
        assert hidden.shape[-1] == plain.rank
        torch.testing.assert_close(y + linear(hidden, plain.up, plain.up_bias), module(x, y), rtol=1e-5, atol=1e-5)


def test_the_sum_of_updates_adds_what_both_add():
    def make(rank: int) -> LoraUpdate:
        return LoraUpdate(torch.randn(rank, WIDTH), torch.randn(OUT_WIDTH, rank), torch.randn(OUT_WIDTH))

    first, second = make(2), make(0)
    total = first + second + LoraUpdate(first.A, first.B)
    assert total.rank == 4 and total.bias is not None
    torch.testing.assert_close(total.B @ total.A, 2 * first.B @ first.A)
    torch.testing.assert_close(total.bias, first.bias + second.bias)


def test_a_kind_is_asked_for_what_it_overrides():
    told = {"reads_role": ("ia3", "prefix"), "changes_input": ("ia3",), "acts_in_attention": ("prefix",)}
    for flag, kinds in told.items():
        assert [kind for kind in KINDS if getattr(KINDS[kind], flag)] == list(kinds)
