"""The quick products give what plain ones give, forwards and backwards."""

import pytest
import torch
from torch.nn.functional import linear

from peftsearch.modules.projections import add_projection, project_down

RANK, WIDTH, OUT = 3, 5, 4


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("lead", [(7,), (2, 7), (2, 3, 7)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_projecting_down_and_adding_up_equal_linear_maps(lead, has_bias):
    x, y, down, up = draw(*lead, WIDTH), draw(*lead, OUT), draw(RANK, WIDTH), draw(OUT, RANK)
    biases = [draw(RANK), draw(OUT)] if has_bias else [None, None]
    tensors = [t for t in (x, y, down, up, *biases) if t is not None]
    found = add_projection(y, project_down(x, down, biases[0]), up, biases[1])
    wanted = y + linear(linear(x, down, biases[0]), up, biases[1])
    assert found.shape == (*lead, OUT)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(wanted)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), tensors), torch.autograd.grad((wanted * weights).sum(), tensors)
    )


def test_another_dtype_of_the_layer_is_kept():
    y, hidden = torch.ones(2, 7, OUT, dtype=torch.bfloat16), torch.full((2, 7, RANK), 0.5)
    found = add_projection(y, hidden, torch.ones(OUT, RANK), torch.ones(OUT))
    assert found.dtype == torch.bfloat16 and torch.equal(found, torch.full_like(y, 3.5))
    assert project_down(y, torch.ones(RANK, OUT)).dtype == torch.float32


def test_under_autocast_no_input_is_copied_to_more_precision():
    x, down = torch.ones(2, 7, WIDTH, dtype=torch.bfloat16), torch.ones(RANK, WIDTH)
    with torch.autocast("cpu", torch.bfloat16), torch.profiler.profile(record_shapes=True) as profile:
        hidden = project_down(x, down)
    assert hidden.dtype == torch.bfloat16 and torch.equal(hidden, torch.full_like(hidden, WIDTH))
    copied = [e.input_shapes[0] for e in profile.events() if e.name == "aten::_to_copy"]
    assert copied == [[RANK, WIDTH]]


def test_the_meta_device_has_no_autocast():
    x, down = torch.ones(2, 7, WIDTH, dtype=torch.bfloat16, device="meta"), torch.ones(RANK, WIDTH, device="meta")
    assert project_down(x, down).dtype == torch.float32


def test_weights_of_less_precision_meet_a_mask_of_more():
    y, hidden = torch.ones(2, 7, OUT, dtype=torch.bfloat16), torch.full((2, 7, RANK), 0.5)
    weight, bias = torch.ones(OUT, RANK, dtype=torch.bfloat16), torch.ones(OUT, dtype=torch.bfloat16)
    assert torch.equal(add_projection(y, hidden, weight, bias), torch.full_like(y, 3.5))


def test_the_gradient_of_an_up_projection_is_computed_in_the_quick_order():
    y, x, down, up = draw(2, 7, OUT), draw(2, 7, WIDTH), draw(RANK, WIDTH), draw(OUT, RANK)
    with torch.profiler.profile(record_shapes=True) as profile:
        add_projection(y, project_down(x, down), up).sum().backward()
    shapes = [e.input_shapes[:2] for e in profile.events() if e.name == "aten::mm"]
    tokens = 14
    assert [[RANK, OUT], [OUT, tokens]] in shapes and [[OUT, tokens], [tokens, RANK]] not in shapes
    assert [[RANK, tokens], [tokens, OUT]] in shapes and [[tokens, OUT], [OUT, RANK]] not in shapes
