"""Biases and norms that are run with their change, and the layers where that can't be."""

import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch
import torch.distributed as dist
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn.functional import layer_norm, linear
from torch.nn.utils import parametrizations, parametrize, prune
from transformers.models.cohere.modeling_cohere import CohereLayerNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.kinds.bitfit import Bitfit
from peftsearch.modules.kinds.lnfit import Lnfit
from peftsearch.modules.peft_module import KINDS, Mask

WIDTH = 6
LAYERS = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "no bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    "conv1d": lambda: Conv1D(WIDTH, WIDTH),
    "layer norm": lambda: nn.LayerNorm(WIDTH),
    "t5 norm": lambda: T5LayerNorm(WIDTH),
    "llama norm": lambda: LlamaRMSNorm(WIDTH),
    "cohere norm": lambda: CohereLayerNorm(WIDTH),
}
RUN_AS = {kind: KINDS[kind].runs_as for kind in KINDS if KINDS[kind].runs_as}
RUN_SO = [(name, kind) for name in LAYERS for kind in RUN_AS if RUN_AS[kind] == "bias" or "norm" in name]


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 5, WIDTH)


def layer_with(base: nn.Module, *kinds: str) -> AdaptedLayer:
    nn.init.normal_(base.weight)
    layer = AdaptedLayer(base)
    layer._active_adapter = "default"
    layer.add_modules("default", dict.fromkeys(kinds, 2))
    layer.randomise("default")
    return layer


def changed(layer: AdaptedLayer, x: torch.Tensor) -> set[str]:
    return set(layer._changed_parameters(list(layer._active()), x)[0])


def modules_alone(layer: AdaptedLayer, x: torch.Tensor) -> torch.Tensor:
    """What the base layer and then each module's own `forward` give."""
    y = layer.base_layer(x)
    for module in layer.modules_of("default").values():
        y = module(x, y)
    return y


def test_a_linear_map_runs_with_its_bias(x):
    layer = layer_with(nn.Linear(WIDTH, WIDTH), "bitfit")
    base, module = layer.base_layer, layer.modules_of("default")["bitfit"]
    assert changed(layer, x) == {"bias"}
    torch.testing.assert_close(layer(x), linear(x, base.weight, base.bias + module.bias))


def test_a_layer_norm_runs_with_weight_and_bias(x):
    layer = layer_with(nn.LayerNorm(WIDTH), "bitfit", "lnfit")
    base, modules = layer.base_layer, layer.modules_of("default")
    assert changed(layer, x) == {"weight", "bias"}
    weight, bias = base.weight + modules["lnfit"].weight, base.bias + modules["bitfit"].bias
    torch.testing.assert_close(layer(x), layer_norm(x, (WIDTH,), weight, bias))


def test_an_rms_norm_runs_with_its_weight_where_a_bias_must_come_after(x):
    layer = layer_with(T5LayerNorm(WIDTH), "bitfit", "lnfit")
    assert changed(layer, x) == {"weight"}
    torch.testing.assert_close(layer(x), modules_alone(layer, x))


@pytest.mark.parametrize("gate", [None, 0.0, 0.3])
@pytest.mark.parametrize("name,kind", RUN_SO)
def test_every_kind_gives_what_its_module_after_the_layer_would(name, kind, gate, x):
    layer = layer_with(LAYERS[name](), kind)
    mask = Mask(None if gate is None else torch.tensor(gate, requires_grad=True))
    layer.masks = {kind: mask}
    module = layer.modules_of("default")[kind]
    of = [*module.parameters(), *([mask.gate] if gate is not None else [])]
    found, wanted = layer(x), module(x, layer.base_layer(x), mask)
    torch.testing.assert_close(found, wanted)
    weights = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), of), torch.autograd.grad((wanted * weights).sum(), of)
    )


def test_only_modules_before_all_others_change_the_layers_parameters(x):
    layer = layer_with(nn.Linear(WIDTH, WIDTH), "bitfit", "ia3")
    layer.add_modules("other", {"bitfit": 1})
    layer.randomise("other")
    layer.set_adapter(["default", "other"])
    wanted = layer.modules_of("other")["bitfit"](x, modules_alone(layer, x))
    torch.testing.assert_close(layer(x), wanted)


def test_a_small_change_is_not_lost_in_a_layer_of_less_precision(x):
    layer = layer_with(nn.LayerNorm(WIDTH, dtype=torch.bfloat16), "lnfit")
    layer.modules_of("default")["lnfit"].float()
    assert changed(layer, x.bfloat16()) == set()


def test_a_small_change_is_not_lost_under_autocast(x):
    biased, norm = layer_with(nn.Linear(WIDTH, WIDTH), "bitfit"), layer_with(nn.LayerNorm(WIDTH), "lnfit")
    with torch.autocast("cpu", torch.bfloat16):
        assert changed(biased, x) == set() and changed(norm, x) == {"weight"}


def test_threads_do_not_find_each_others_parameters(x):
    layer = layer_with(nn.Linear(256, 256), "bitfit")
    x = torch.randn(4, 256)
    bias, wanted, wrong = layer.base_layer.bias, modules_alone(layer, x).detach(), []

    def run() -> None:
        with torch.no_grad():
            wrong.extend(i for i in range(200) if not torch.allclose(layer(x), wanted, atol=1e-5))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and layer.base_layer.bias is bias


def offloaded() -> nn.Module:
    base = nn.Linear(WIDTH, WIDTH)
    weights = {name: tensor.detach().clone() for name, tensor in base.named_parameters()}
    add_hook_to_module(base, AlignDevicesHook("cpu", offload=True, weights_map=weights))
    return base


def pruned(name: str) -> nn.Module:
    return prune.l1_unstructured(nn.Linear(WIDTH, WIDTH), name, amount=0.5)


def parametrised() -> nn.Module:
    base = nn.Linear(WIDTH, WIDTH)
    parametrize.register_parametrization(base, "bias", nn.Tanh())
    return base


def replica() -> nn.Module:
    """As DataParallel makes them: tensors are attributes, and the only parameter is the bias that there is not."""
    base = nn.Linear(WIDTH, WIDTH, bias=False)
    copy = base._replicate_for_data_parallel()
    copy.weight, copy._parameters["bias"] = base.weight.detach(), None
    return copy


def with_base(base: nn.Module) -> AdaptedLayer:
    layer = layer_with(nn.Linear(WIDTH, WIDTH), "bitfit")
    layer.base_layer = base
    return layer


def hooked() -> nn.Module:
    base = nn.Linear(WIDTH, WIDTH)
    base.register_forward_hook(lambda module, inputs, output: 2 * output)
    return base


def compiled() -> nn.Module:
    base = nn.Linear(WIDTH, WIDTH)
    base.compile(backend="eager")
    return base


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(WIDTH, WIDTH)), {nn.Linear})[0]


def weight_normed() -> nn.Module:
    return parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))


OTHERS = [offloaded, partial(pruned, "weight"), partial(pruned, "bias"), parametrised, weight_normed, hooked, compiled]


@pytest.mark.filterwarnings("ignore:torch.ao.quantization")
@pytest.mark.parametrize("make", [*OTHERS, quantised])
def test_a_layer_that_is_watched_or_made_when_it_runs_is_left_as_it_is(make, x):
    layer = with_base(make())
    wanted = modules_alone(layer, x)
    assert changed(layer, x) == set()
    torch.testing.assert_close(layer(x), wanted)


def test_a_copy_for_another_device_runs_with_its_bias(x):
    layer = with_base(replica())
    wanted = modules_alone(layer, x)
    assert changed(layer, x) == {"bias"}
    torch.testing.assert_close(layer(x), wanted)


@pytest.fixture
def process_group() -> Iterator[None]:
    dist.init_process_group(backend="gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*NO_SHARD")
@pytest.mark.parametrize("wrapped", [[], [nn.LayerNorm], [Bitfit, Lnfit]])
def test_fsdp_runs_a_layer_with_its_change_and_trains_it(wrapped, process_group, x):
    layer = layer_with(nn.LayerNorm(WIDTH), "bitfit", "lnfit")
    layer.base_layer.requires_grad_(False)
    wanted = layer(x)
    (wanted.sum() ** 2).backward()
    gradients = {name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None}
    layer.zero_grad()
    sharded = FullyShardedDataParallel(
        layer,
        use_orig_params=True,
        device_id=torch.device("cpu"),
        auto_wrap_policy=ModuleWrapPolicy(wrapped) if wrapped else None,
    )
    found = sharded(x)
    (found.sum() ** 2).backward()
    # Run as without FSDP, to the last bit, where nothing inside is wrapped.
    torch.testing.assert_close(found, wanted, **({} if wrapped else {"rtol": 0, "atol": 0}))
    found = {name.replace("_fsdp_wrapped_module.", ""): p.grad for name, p in layer.named_parameters()}
    torch.testing.assert_close({name: found[name] for name in gradients}, gradients)


def test_a_traced_layer_has_its_change(x):
    layer = layer_with(nn.LayerNorm(WIDTH), "bitfit", "lnfit")
    torch.testing.assert_close(torch.jit.trace(layer, x)(x), layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_its_change_compiles_in_one_graph(name, x):
    layer = layer_with(LAYERS[name](), "bitfit", *(["lnfit"] if "norm" in name else []))
    assert changed(layer, x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x))
