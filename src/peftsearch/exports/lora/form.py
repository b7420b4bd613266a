"""A trained adapter as LoRA updates, biases and whole modules, if it is exactly that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import torch
from peft.tuners.adalora import SVDLinear
from peft.utils import ModulesToSaveWrapper, TrainableTokensWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import ExportError
from peftsearch.exports.refusal import reasons_against, refuse
from peftsearch.exports.source import Source
from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.peft_module import PeftModule
from peftsearch.modules.plain_forms import LoraUpdate

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class TrainedRows:
    """Rows of a matrix that are trained, each of a token.

    Args:
        indices: their numbers.
        values: (rows, width).
    """

    indices: list[int]
    values: torch.Tensor


@dataclass(frozen=True)
class LoraForm:
    """All changes of an adapter in LoRA's terms; names are those of the pretrained model.

    Args:
        updates: linear layer -> its LoRA update.
        norms: norm -> its merged tensors by name.
        head: module of the task head -> its tensors by name.
        rows: layer of the embeddings, or of the next token -> the rows of tokens there.
        fan_in_fan_out: whether the linear layers are transformers' Conv1D.
    """

    updates: Mapping[str, LoraUpdate]
    norms: Mapping[str, Tensors]
    head: Mapping[str, Tensors]
    fan_in_fan_out: bool
    rows: Mapping[str, "TrainedRows"] = field(default_factory=dict)

    @property
    def largest_rank(self) -> int:
        """The largest rank of an update, at least 1."""
        return max([1, *(update.rank for update in self.updates.values())])


def check_lora(source: Source, *, what: str = "a plain LoRA adapter") -> None:
    """Refuse an adapter that is not LoRA, by its kinds and layers; the model may be on the meta device.

    Args:
        source: with an adapter of ours, or peft's AdaLoRA.
        what: name of the export, for the message.

    Raises:
        ExportError: naming the sites and kinds that are no LoRA update, or if there is no adapter.
    """
    whole = {} if source.has_adapter else {"every layer": "all weights were trained"}
    reasons = whole | reasons_against(source, why_not_lora)
    refuse(what, reasons, instead="Use the adapter itself with `import peftsearch`, see docs/export.md.")


def read_lora_form(source: Source, *, what: str = "a plain LoRA adapter") -> LoraForm:
    """Express an adapter as LoRA; arguments and errors as in `check_lora`."""
    check_lora(source, what=what)
    linear, norms = {}, {}
    for path, layer in source.layers():
        if is_linear(layer.get_base_layer()):
            linear[path] = _update_of(layer, source.adapter)
        else:
            norms[path] = _merged_norm(layer, source.adapter)
    linear |= _read_adalora(source)
    bases = [layer for path, layer in source.base.named_modules() if path.removesuffix(".base_layer") in linear]
    is_conv = any(isinstance(layer, Conv1D) for layer in bases)
    return LoraForm(linear, norms, read_head(source), is_conv, read_rows(source))


def read_lora_only(source: Source, *, what: str) -> LoraForm:
    """Call `read_lora_form`, for formats that need at least one LoRA update.

    Raises:
        ExportError: also if there is no LoRA update.
    """
    form = read_lora_form(source, what=what)
    if not form.updates:
        raise ExportError(f"This configuration cannot become {what}: it holds no LoRA. Export it as lora or merged.")
    return form


def why_not_lora(module: PeftModule, base_layer: nn.Module) -> str | None:
    """Say why a module is neither a LoRA update with a bias nor a change of a norm that can be saved in full.

    Args:
        module: it may be on the meta device.
        base_layer: the layer that it changes.

    Returns:
        such as "a prefix has no place in a layer's weight"; None if it is one of them.
    """
    reason = module.unmergeable_reason(base_layer)
    if not is_linear(base_layer):
        return reason
    return (reason or "its change has the rank of the whole layer") if module.as_lora(base_layer) is None else None


def is_linear(base_layer: nn.Module) -> bool:
    """Tell whether a layer is a linear map, which LoRA can change, and not a norm."""
    return isinstance(base_layer, nn.Linear | Conv1D)


def read_head(source: Source) -> dict[str, Tensors]:
    """Read the trained task head: name of a module -> its tensors by name."""
    return {
        name: dict(module.modules_to_save[source.adapter].state_dict())
        for name, module in source.base.named_modules()
        if isinstance(module, ModulesToSaveWrapper)
    }


def read_rows(source: Source) -> dict[str, TrainedRows]:
    """Read the trained rows of tokens: name of a layer -> its rows; those of a tied layer are with the embeddings."""
    if not source.has_adapter:
        return {}
    found = {}
    for name, module in source.base.named_modules():
        if isinstance(module, TrainableTokensWrapper) and not module.token_adapter.tied_adapter:
            layer = module.token_adapter
            values = layer.trainable_tokens_delta[source.adapter]
            found[name] = TrainedRows(list(layer.token_indices[source.adapter]), values)
    return found


def refuse_rows(source: Source, what: str, *, why: str, instead: str) -> None:
    """Refuse trained rows of tokens, for formats that have no place for them.

    Raises:
        ExportError: if there are any.
    """
    refuse(what, dict.fromkeys(read_rows(source), f"rows of added tokens ({why})"), instead=instead)


def _update_of(layer: AdaptedLayer, adapter: str) -> LoraUpdate:
    """Join the modules at a linear layer into one update; `why_not_lora` must have returned None."""
    updates = (module.as_lora(layer.get_base_layer()) for module in layer.modules_of(adapter).values())
    return reduce(add, (update for update in updates if update is not None))


def _merged_norm(layer: AdaptedLayer, adapter: str) -> dict[str, torch.Tensor]:
    layer.merge(adapter_names=[adapter])
    merged = {name: tensor.detach().clone() for name, tensor in layer.get_base_layer().state_dict().items()}
    layer.unmerge()
    return merged


def _read_adalora(source: Source) -> dict[str, LoraUpdate]:
    """Read AdaLoRA's B diag(E) A, with its scale folded into B; layers that lost all ranks are left out."""
    found = {}
    for path, layer in source.base.named_modules():
        if isinstance(layer, SVDLinear) and len(layer.lora_E[source.adapter]):
            name = source.adapter
            scale = layer.scaling[name] / (layer.ranknum[name] + 1e-5)
            A = (layer.lora_A[name] * layer.lora_E[name]).detach().float()
            found[path] = LoraUpdate(A, (layer.lora_B[name] * scale).detach().float())
    return found
