"""Biases and norms that are run with their change give what the module after the layer would."""

import pytest
import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.peft_module import Mask

WIDTH = 6
X = torch.randn(2, 5, WIDTH)
LAYERS = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "no bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    "conv1d": lambda: Conv1D(WIDTH, WIDTH),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "t5 norm": lambda: T5LayerNorm(WIDTH),
    "llama norm": lambda: LlamaRMSNorm(WIDTH),
}
CASES = [(name, kind) for name in LAYERS for kind in ("bitfit", "lnfit") if kind == "bitfit" or "norm" in name]


def layer_with(base: nn.Module, kinds: list[str], adapter: str = "default") -> AdaptedLayer:
    layer = AdaptedLayer(base)
    layer._active_adapter = adapter
    layer.add_modules(adapter, dict.fromkeys(kinds, 2))
    layer.randomise(adapter)
    return layer


@pytest.mark.parametrize("gate", [None, 0.0, 0.3])
@pytest.mark.parametrize("name,kind", CASES)
def test_the_layer_gives_what_the_module_after_it_would(name, kind, gate):
    base = LAYERS[name]()
    nn.init.normal_(base.weight)
    layer = layer_with(base, [kind])
    mask = Mask(None if gate is None else torch.tensor(gate, requires_grad=True))
    layer.masks = {kind: mask}
    module = layer.modules_of("default")[kind]
    of = [*module.parameters(), *([mask.gate] if gate is not None else [])]
    found, wanted = layer(X), module(X, base(X), mask)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), of), torch.autograd.grad((wanted * weights).sum(), of)
    ):
        torch.testing.assert_close(one, other)


def test_only_modules_before_all_others_change_the_layers_parameters():
    layer = layer_with(nn.Linear(WIDTH, WIDTH), ["bitfit", "ia3"])
    layer.add_modules("other", {"bitfit": 1})
    layer.randomise("other")
    layer.set_adapter(["default", "other"])
    first, second = layer.modules_of("default"), layer.modules_of("other")
    wanted = first["ia3"](X, first["bitfit"](X, layer.base_layer(X)))
    torch.testing.assert_close(layer(X), second["bitfit"](X, wanted))


def test_a_small_change_is_not_lost_in_a_layer_of_less_precision():
    base = nn.LayerNorm(WIDTH, dtype=torch.bfloat16)
    layer = layer_with(base, ["lnfit"])
    module = layer.modules_of("default")["lnfit"]
    module.float()
    nn.init.constant_(module.weight, 1e-3)  # half of what bfloat16 can add to 1
    x = X.bfloat16()
    assert torch.equal(layer(x), module(x, base(x)))
    assert layer._changed_parameters(list(layer._active())) == ({}, list(layer._active()))
