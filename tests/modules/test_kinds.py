"""Each kind against its formula, written out here with plain tensors; `peftsearch.testing` has what holds for all."""

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import ConfigurationError, UnknownNameError
from peftsearch.modules.costs import num_parameters
from peftsearch.modules.peft_module import KINDS, Mask
from peftsearch.space import Role, Site

WIDTH, OUT, RANK = 64, 96, 4


def filled(kind: str, base: nn.Module, rank: int = RANK) -> nn.Module:
    module = KINDS[kind](base, rank)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 5, WIDTH)


def test_lora_adds_the_low_rank_product(x):
    base = nn.Linear(WIDTH, OUT)
    module = filled("lora", base)
    expected = base(x) + x @ module.A.T @ module.B.T
    torch.testing.assert_close(module(x, base(x)), expected)


def test_bitfit_adds_a_bias(x):
    base = nn.Linear(WIDTH, OUT)
    module = filled("bitfit", base)
    torch.testing.assert_close(module(x, base(x)), base(x) + module.bias)


def test_lnfit_on_layer_norm_changes_its_weight(x):
    base = nn.LayerNorm(WIDTH)
    nn.init.normal_(base.weight)
    module = filled("lnfit", base)
    changed = nn.LayerNorm(WIDTH)
    changed.weight.data = base.weight.data + module.weight.data
    torch.testing.assert_close(module(x, base(x)), changed(x), atol=1e-5, rtol=1e-5)


def test_lnfit_on_t5_norm_does_not_subtract_the_mean(x):
    base = T5LayerNorm(WIDTH)
    module = filled("lnfit", base)
    changed = T5LayerNorm(WIDTH)
    changed.weight.data = base.weight.data + module.weight.data
    torch.testing.assert_close(module(x + 3, base(x + 3)), changed(x + 3), atol=1e-5, rtol=1e-5)


def test_low_rank_adapter_is_a_bottleneck_of_two_low_rank_products(x):
    base = nn.Linear(WIDTH, WIDTH)
    m = filled("low_rank_adapter", base)
    y = base(x)
    down = y @ (m.down_out @ m.down_in).T + m.down_bias
    up = gelu(down, approximate="tanh") @ (m.up_out @ m.up_in).T + m.up_bias
    torch.testing.assert_close(m(x, y), y + up, atol=1e-4, rtol=1e-4)


def test_every_tensor_of_a_low_rank_adapter_can_leave_its_start(x):
    base = nn.Linear(WIDTH, WIDTH)
    module = KINDS["low_rank_adapter"](base, RANK)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    start = {name: p.detach().clone() for name, p in module.named_parameters()}
    for _ in range(3):
        optimizer.zero_grad()
        (module(x, base(x)) ** 2).sum().backward()
        optimizer.step()
    assert all((p != start[name]).any() for name, p in module.named_parameters())


@pytest.mark.parametrize("kind,reads", [("serial_adapter", "y"), ("parallel_adapter", "x")])
def test_an_adapter_is_a_bottleneck(kind, reads, x):
    base = nn.Linear(WIDTH, WIDTH)
    m = filled(kind, base)
    y = base(x)
    source = {"x": x, "y": y}[reads]
    expected = y + gelu(source @ m.down.T + m.down_bias, approximate="tanh") @ m.up.T + m.up_bias
    torch.testing.assert_close(m(x, y), expected, atol=1e-4, rtol=1e-4)


def test_ia3_rescales_the_output_or_the_input(x):
    base = nn.Linear(WIDTH, OUT)
    keys = filled("ia3", base)
    torch.testing.assert_close(keys(x, base(x)), base(x) * (1 + keys.scale))
    ffn = KINDS["ia3"].build(base, 1, Role.FFN_OUT)
    nn.init.normal_(ffn.scale)
    assert ffn.scale.shape == (WIDTH,)
    torch.testing.assert_close(ffn.before(x), x * (1 + ffn.scale))
    torch.testing.assert_close(ffn.before(x, Mask(gate=torch.tensor(0.0))), x)
    assert ffn(x, base(x)) is not None and torch.equal(ffn(x, base(x)), base(x))


def test_conv1d_is_read_with_its_transposed_weight(x):
    base = Conv1D(OUT, WIDTH)
    module = filled("lora", base)
    assert module.A.shape == (RANK, WIDTH) and module.B.shape == (OUT, RANK)
    torch.testing.assert_close(module(x, base(x)), base(x) + x @ module.A.T @ module.B.T)


def test_sizes_on_t5_large_are_the_published_formulas():
    def site(role, in_width=1024, out_width=1024):
        return Site("encoder", 0, role, "path", in_width, out_width)

    assert num_parameters("lora", site(Role.QUERY), 8) == 8 * 2048
    assert num_parameters("lora", site(Role.FFN_IN, 1024, 4096), 1) == 5120
    assert [num_parameters("low_rank_adapter", site(Role.FFN_OUT, 4096), r) for r in (1, 4, 8)] == [3168, 9504, 17952]
    assert [num_parameters("serial_adapter", site(Role.FFN_OUT, 4096), r) for r in (1, 4, 8)] == [3073, 9220, 17416]
    assert num_parameters("ia3", site(Role.FFN_OUT, 4096), 1) == 4096
    assert num_parameters("bitfit", site(Role.FFN_IN, 1024, 4096), 1) == 4096
    assert num_parameters("lnfit", site(Role.FINAL_NORM), 1) == 1024


def test_a_kind_that_does_not_fit_is_refused_with_those_that_do():
    with pytest.raises(ConfigurationError, match="lnfit.*does not fit.*bitfit"):
        num_parameters("lnfit", Site("encoder", 0, Role.QUERY, "path", 4, 4), 1)


def test_an_unknown_kind_is_named_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'lora'"):
        num_parameters("lorra", Site("encoder", 0, Role.QUERY, "path", 4, 4), 1)


@pytest.mark.parametrize("kind", ["lora", "low_rank_adapter", "serial_adapter", "parallel_adapter"])
def test_under_autocast_a_mask_of_ones_rounds_nothing_twice(kind):
    # A mask in float32 would take what follows out of bfloat16: another sum, a tensor more of the output's size.
    base = nn.Linear(WIDTH, WIDTH)
    module, x = filled(kind, base), torch.randn(2, 5, WIDTH, dtype=torch.bfloat16)
    gate, rank = torch.tensor(1.0), torch.ones(RANK)
    with torch.autocast("cpu", torch.bfloat16):
        y = base(x)
        assert torch.equal(module(x, y, Mask(gate, rank)), module(x, y))
