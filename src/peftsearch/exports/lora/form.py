"""A trained adapter as LoRA updates, biases and whole modules, where it is exactly that."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

import torch
from peft.tuners.adalora import SVDLinear
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import ExportError
from peftsearch.exports.refusal import refuse
from peftsearch.exports.source import Source
from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.kinds.bitfit import Bitfit
from peftsearch.modules.kinds.lora import Lora
from peftsearch.modules.peft_module import PeftModule

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Update:
    """y + B A x + bias.

    Args:
        A: (rank, in_width), the rank may be 0.
        B: (out_width, rank).
        bias: (out_width,), or None.
    """

    A: torch.Tensor
    B: torch.Tensor
    bias: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """Number of components."""
        return self.A.shape[0]

    @property
    def has_bias(self) -> bool:
        """Whether a bias is added."""
        return self.bias is not None

    def __add__(self, other: "Update") -> "Update":
        biases = [bias for bias in (self.bias, other.bias) if bias is not None]
        return Update(torch.cat([self.A, other.A]), torch.cat([self.B, other.B], 1), sum(biases) if biases else None)

    def padded(self, rank: int) -> "Update":
        """The same update with components of zeros up to a rank."""
        missing = rank - self.rank
        return Update(
            torch.cat([self.A, self.A.new_zeros(missing, self.A.shape[1])]),
            torch.cat([self.B, self.B.new_zeros(self.B.shape[0], missing)], 1),
            self.bias,
        )


@dataclass(frozen=True)
class LoraForm:
    """Everything that an adapter changes; names are those of the pretrained model.

    Args:
        updates: linear layer -> its update.
        norms: norm -> its merged tensors.
        head: module of the task head -> its tensors.
        fan_in_fan_out: whether the linear layers are transformers' Conv1D.
    """

    updates: Mapping[str, Update]
    norms: Mapping[str, Tensors]
    head: Mapping[str, Tensors]
    fan_in_fan_out: bool

    @property
    def largest_rank(self) -> int:
        """The largest rank of an update, at least 1."""
        return max([1, *(update.rank for update in self.updates.values())])


@singledispatch
def update_of(module: PeftModule, layer: nn.Module) -> Update | None:
    """A module of ours as an update of its base layer; None for kinds that are none."""
    return None


@update_of.register
def _(module: Lora, layer: nn.Module) -> Update:
    return Update(module.A.detach().float(), module.B.detach().float())


@update_of.register
def _(module: Bitfit, layer: nn.Module) -> Update:
    bias = module.bias.detach().float()
    in_width = layer.in_features if isinstance(layer, nn.Linear) else layer.weight.shape[0]
    return Update(bias.new_zeros(0, in_width), bias.new_zeros(len(bias), 0), bias)


def read_lora_form(source: Source, *, what: str = "a plain LoRA adapter") -> LoraForm:
    """Express the adapter of a source, ours or peft's AdaLoRA, as LoRA.

    Args:
        what: is to be made of it, for the message.

    Raises:
        ExportError: with the sites and kinds that are not linear in this sense, or if there is no adapter.
    """
    linear, norms, reasons = {}, {}, {}
    if not source.has_adapter:
        reasons["every layer"] = "all weights were trained"
    for path, layer in source.layers():
        is_norm = not isinstance(layer.get_base_layer(), nn.Linear | Conv1D)
        if reason := why_not_lora(layer, source.adapter):
            reasons[path] = reason
        elif is_norm:
            norms[path] = _merged_norm(layer, source.adapter)
        else:
            modules = layer.modules_of(source.adapter).values()
            updates = [update_of(module, layer.get_base_layer()) for module in modules]
            linear[path] = sum(updates[1:], updates[0])
    refuse(what, reasons, instead="Use the adapter itself with `import peftsearch`, see docs/export.md.")
    linear |= _read_adalora(source)
    bases = [layer for path, layer in source.base.named_modules() if path.removesuffix(".base_layer") in linear]
    return LoraForm(linear, norms, read_head(source), any(isinstance(layer, Conv1D) for layer in bases))


def read_lora_only(source: Source, *, what: str) -> LoraForm:
    """As `read_lora_form`, for formats that cannot do without LoRA.

    Raises:
        ExportError: also if there is no LoRA at all.
    """
    form = read_lora_form(source, what=what)
    if not form.updates:
        raise ExportError(f"This configuration cannot become {what}: it holds no LoRA. Export it as lora or merged.")
    return form


def why_not_lora(layer: AdaptedLayer, adapter: str) -> str | None:
    """What prevents the modules at a site from being a LoRA update with a bias, or a norm saved in full."""
    base = layer.get_base_layer()
    is_linear = isinstance(base, nn.Linear | Conv1D)
    for kind, module in layer.modules_of(adapter).items():
        reason = module.unmergeable_reason(base)
        if is_linear and update_of(module, base) is None:
            return f"{kind} ({reason or 'its change has the rank of the whole layer'})"
        if not is_linear and reason:
            return f"{kind} ({reason})"
    return None


def read_head(source: Source) -> dict[str, Tensors]:
    """Module of the task head -> its trained tensors."""
    return {
        name: dict(module.modules_to_save[source.adapter].state_dict())
        for name, module in source.base.named_modules()
        if isinstance(module, ModulesToSaveWrapper)
    }


def _merged_norm(layer: AdaptedLayer, adapter: str) -> dict[str, torch.Tensor]:
    layer.merge(adapter_names=[adapter])
    merged = {name: tensor.detach().clone() for name, tensor in layer.get_base_layer().state_dict().items()}
    layer.unmerge()
    return merged


def _read_adalora(source: Source) -> dict[str, Update]:
    """AdaLoRA's B diag(E) A with its scale folded into B; layers that lost all ranks are left out."""
    found = {}
    for path, layer in source.base.named_modules():
        if isinstance(layer, SVDLinear) and len(layer.lora_E[source.adapter]):
            name = source.adapter
            scale = layer.scaling[name] / (layer.ranknum[name] + 1e-5)
            A = (layer.lora_A[name] * layer.lora_E[name]).detach().float()
            found[path] = Update(A, (layer.lora_B[name] * scale).detach().float())
    return found
