"""The one layer that stands at a site: the base layer and the modules of every adapter."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import MergeError
from peftsearch.modules.block_input import BlockInputHook
from peftsearch.modules.changed_layer import can_run_with, with_parameters
from peftsearch.modules.peft_module import KINDS, UNMASKED, Mask, PeftModule, is_plain, layer_widths
from peftsearch.modules.placement import execution_device
from peftsearch.space import Role

PREFIX = "peftsearch_"
Applied = tuple[PeftModule, Mask]


def ordered_kinds() -> tuple[str, ...]:
    """The names of all registered kinds, in the order in which modules at one site apply."""
    return tuple(sorted(KINDS, key=lambda kind: (KINDS[kind].order, kind)))


class AdaptedLayer(nn.Module, BaseTunerLayer):
    """A base layer with at most one module of each kind for each adapter.

    Search, retraining and loading all use it. The modules of a kind live in `peftsearch_<kind>`, keyed by adapter:
    peft and transformers find, rename, save and load tensors by names of that form.

    Args:
        base_layer: a linear layer, transformers' Conv1D or a norm.
    """

    # Each layer has its own, since kinds can be registered between two models.
    adapter_layer_names: tuple[str, ...] = ()
    other_param_names = ()

    def __init__(self, base_layer: nn.Module):
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = layer_widths(self.get_base_layer())
        self.kinds = ordered_kinds()
        self.adapter_layer_names = tuple(PREFIX + kind for kind in self.kinds)
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ModuleDict())
        # Kind -> its mask in this step of a supernet, or None to skip the module; empty outside of a supernet.
        self.masks: dict[str, Mask | None] = {}
        self.block_input_hook: BlockInputHook | None = None
        self._disable_adapters = False
        self._active_adapter: str | list[str] = []
        self.merged_adapters: list[str] = []
        self._unmerged: list[dict[str, torch.Tensor]] = []

    def add_modules(
        self, adapter: str, ranks: Mapping[str, int], *, role: Role | None = None, inference_mode: bool = False
    ) -> None:
        """Attach one module of each of the given kinds for an adapter.

        Args:
            adapter: its name.
            ranks: kind -> rank; 1 for kinds without ranks.
            role: the role of the site, for kinds that read it.
            inference_mode: whether the modules start frozen.
        """
        base = self.get_base_layer()
        for kind, rank in ranks.items():
            self._container(kind)[adapter] = KINDS[kind].build(base, rank, role)
        self._move_adapter_to_device_of_base_layer(adapter, execution_device(base))
        active = self.active_adapters or [adapter]
        self.set_adapter(active, inference_mode=inference_mode)

    def modules_of(self, adapter: str) -> dict[str, PeftModule]:
        """The modules of an adapter by kind, in the order in which they apply."""
        # By nn.Module's own tables: this runs in every forward pass, and attribute look-ups would cost more.
        containers = vars(self)["_modules"]
        found = ((kind, containers[PREFIX + kind]._modules.get(adapter)) for kind in self.kinds)
        return {kind: module for kind, module in found if module is not None}

    def randomise(self, adapter: str) -> None:
        """Draw every tensor of an adapter at random, so that the adapter changes the output."""
        for module in self.modules_of(adapter).values():
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.2)

    def remove_module(self, adapter: str, kind: str) -> None:
        """Remove one module of an adapter."""
        del self._container(kind)[adapter]
        self._drop_unused_hook()

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove all modules of an adapter."""
        super().delete_adapter(adapter_name)
        self._drop_unused_hook()

    def hook_block_input(self, layer: nn.Module) -> None:
        """Keep the input of another layer for the modules that read the block's input.

        Args:
            layer: a layer of the same block that runs before this one.
        """
        if self.block_input_hook is None:
            self.block_input_hook = BlockInputHook(layer)

    def unhook_block_input(self) -> None:
        """Stop reading another layer's input."""
        if self.block_input_hook is not None:
            self.block_input_hook.close()
            self.block_input_hook = None

    def _drop_unused_hook(self) -> None:
        if not any(KINDS[kind].reads_block_input and len(self._container(kind)) for kind in self.kinds):
            self.unhook_block_input()

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the base layer, then the modules of the active adapters in order."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        block_input = None if self.block_input_hook is None else self.block_input_hook.take()
        if self.disable_adapters or self.merged:
            return self.base_layer(x, *args, **kwargs)
        changed, applied = self._changed_parameters(list(self._active()), x)
        inputs = []
        # Backwards, so that what a module makes of the input reaches the base layer and all modules before it.
        for module, mask in reversed(applied):
            if module.changes_input:
                x = module.before(x, mask)
            inputs.append(block_input if module.reads_block_input else x)
        y = with_parameters(self.base_layer, changed)(x, *args, **kwargs)
        for (module, mask), own_input in zip(applied, reversed(inputs), strict=True):
            y = module(own_input, y, mask)
        return y

    def _changed_parameters(
        self, applied: list[Applied], x: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], list[Applied]]:
        """Fold the leading modules that allow it (`runs_as`) into the base parameters; return those and the rest."""
        changed: dict[str, torch.Tensor] = {}
        for number, (module, mask) in enumerate(applied):
            # FSDP gathers a module that it wraps when that is called.
            name = module.runs_as if isinstance(module, PeftModule) else None
            if name is None or not can_run_with(self.base_layer, name, x):
                return changed, applied[number:]
            before = changed[name] if name in changed else getattr(self.base_layer, name)
            delta = module.weight_delta(before) if name == "weight" else module.bias_delta(before)
            assert delta is not None
            delta = delta if mask.gate is None else mask.gate * delta
            changed[name] = delta if before is None else before + delta
        return changed, []

    def unmergeable_reason(self, adapter: str) -> str | None:
        """Say why an adapter cannot be merged into the base layer; None if it can."""
        base, modules = self.get_base_layer(), self.modules_of(adapter).values()
        if modules and not is_plain(base):
            return f"the weight of the {type(base).__name__} is quantised or sharded; load the model in full to merge"
        reasons = (module.unmergeable_reason(base) for module in modules)
        return next((reason for reason in reasons if reason), None)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold adapters into the base layer's weight and bias.

        Args:
            safe_merge: whether to refuse weights that are not finite.
            adapter_names: adapters to merge; None for the active ones.

        Raises:
            MergeError: if a module cannot be merged, or the result is not finite with `safe_merge`.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if reason := self.unmergeable_reason(adapter):
                raise MergeError(f"The adapter '{adapter}' cannot be merged: {reason}.")
            self._merge_one(adapter, safe_merge)

    def _merge_one(self, adapter: str, safe_merge: bool) -> None:
        base = self.get_base_layer()
        exact = self._merged_parameters(adapter)
        merged = {name: exact[name].to(p.dtype) for name, p in base.named_parameters(recurse=False)}
        if safe_merge and not all(torch.isfinite(tensor).all() for tensor in merged.values()):
            raise MergeError(f"NaNs detected in the merged weights. The adapter {adapter} seems to be broken.")
        self._unmerged.append({name: getattr(base, name).data for name in merged})
        for name, tensor in merged.items():
            getattr(base, name).data = tensor
        self.merged_adapters.append(adapter)

    def _merged_parameters(self, adapter: str) -> dict[str, torch.Tensor]:
        """The base layer's parameters in float32 with an adapter's modules folded in, one after the other."""
        base = self.get_base_layer()
        merged = {name: p.detach().float().clone() for name, p in base.named_parameters(recurse=False)}
        is_transposed = isinstance(base, Conv1D)
        for module in self.modules_of(adapter).values():
            weight = merged["weight"]
            weight_delta = module.weight_delta(weight.T if is_transposed else weight)
            bias_delta = module.bias_delta(merged.get("bias"))
            if weight_delta is not None:
                merged["weight"] = weight + (weight_delta.T if is_transposed else weight_delta)
            if bias_delta is not None:
                merged["bias"] = merged["bias"] + bias_delta
        return merged

    @torch.no_grad()
    def unmerge(self) -> None:
        """Restore exactly the parameters that the base layer had before merging."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
        while self.merged_adapters:
            self.merged_adapters.pop()
            for name, tensor in self._unmerged.pop().items():
                getattr(self.get_base_layer(), name).data = tensor

    def _container(self, kind: str) -> nn.ModuleDict:
        return getattr(self, PREFIX + kind)

    def applied_in_attention(self) -> list[Applied]:
        """The modules of the active adapters that act inside the attention function, with their masks."""
        if self.disable_adapters or self.merged:
            return []
        return list(self._active(in_attention=True))

    def _active(self, *, in_attention: bool = False) -> Iterator[Applied]:
        for adapter in self.active_adapters:
            for kind, module in self.modules_of(adapter).items():
                mask = self.masks.get(kind, UNMASKED)
                if mask is not None and module.acts_in_attention == in_attention:
                    yield module, mask

    def __repr__(self) -> str:
        """Mark the layer as ours in a printed model."""
        return "peftsearch." + super().__repr__()
