"""The one layer that stands at a site: the base layer and the modules of every adapter."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, check_adapters_to_merge
from torch import nn
from transformers.pytorch_utils import Conv1D

import peftsearch.modules.kinds  # noqa: F401  registers every kind
from peftsearch.errors import ConfigurationError
from peftsearch.modules.peft_module import KINDS, UNMASKED, Mask, PeftModule, layer_widths

PREFIX = "peftsearch_"
# Order in which modules at one site apply.
ORDERED_KINDS = tuple(sorted(KINDS, key=lambda kind: (KINDS[kind].order, kind)))


class AdaptedLayer(nn.Module, BaseTunerLayer):
    """A base layer and, for each adapter, at most one module of each kind; supernet, retraining and loading share it.

    The modules of a kind live in `peftsearch_<kind>`, keyed by adapter: peft and transformers find, rename, save and
    load tensors by that form of name.

    Args:
        base_layer: linear, Conv1D or norm.
    """

    adapter_layer_names = tuple(PREFIX + kind for kind in ORDERED_KINDS)
    other_param_names = ()

    def __init__(self, base_layer: nn.Module):
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = layer_widths(self.get_base_layer())
        for name in self.adapter_layer_names:
            setattr(self, name, nn.ModuleDict())
        # What a supernet sets for a step: kind -> mask, or None to skip the module. Empty outside of a supernet.
        self.masks: dict[str, Mask | None] = {}
        self._disable_adapters = False
        self._active_adapter: str | list[str] = []
        self.merged_adapters: list[str] = []
        self._unmerged: list[dict[str, torch.Tensor]] = []

    def add_modules(self, adapter: str, ranks: Mapping[str, int], *, inference_mode: bool = False) -> None:
        """Attach one module of each kind of `ranks` (kind -> rank) for an adapter."""
        base = self.get_base_layer()
        for kind, rank in ranks.items():
            self._container(kind)[adapter] = KINDS[kind](base, rank)
        self._move_adapter_to_device_of_base_layer(adapter)
        active = self.active_adapters or [adapter]
        self.set_adapter(active, inference_mode=inference_mode)

    def modules_of(self, adapter: str) -> dict[str, PeftModule]:
        """The modules of an adapter by kind, in the order in which they apply."""
        return {k: self._container(k)[adapter] for k in ORDERED_KINDS if adapter in self._container(k)}

    def remove_module(self, adapter: str, kind: str) -> None:
        """Take one module out for good."""
        del self._container(kind)[adapter]

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run the base layer, then the modules of the active adapters in order."""
        if self.disable_adapters and self.merged:
            self.unmerge()
        y = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return y
        for module, mask in self._applied():
            y = module(x, y, mask)
        return y

    def unmergeable_reason(self, adapter: str) -> str | None:
        """Why an adapter cannot be merged into the base layer; None if it can."""
        reasons = (m.unmergeable_reason(self.get_base_layer()) for m in self.modules_of(adapter).values())
        return next((reason for reason in reasons if reason), None)

    @torch.no_grad()
    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Fold adapters into the base layer's weight and bias.

        Raises:
            ConfigurationError: if a module cannot be merged, or the result is not finite with `safe_merge`.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if reason := self.unmergeable_reason(adapter):
                raise ConfigurationError(f"The adapter '{adapter}' cannot be merged: {reason}.")
            self._merge_one(adapter, safe_merge)

    def _merge_one(self, adapter: str, safe_merge: bool) -> None:
        base = self.get_base_layer()
        merged = {name: p.data.clone() for name, p in base.named_parameters(recurse=False)}
        for module in self.modules_of(adapter).values():
            for name, delta in (("weight", module.weight_delta()), ("bias", module.bias_delta())):
                if delta is not None:
                    delta = delta.T if isinstance(base, Conv1D) and name == "weight" else delta
                    merged[name] = (merged[name].float() + delta).to(merged[name].dtype)
        if safe_merge and not all(torch.isfinite(tensor).all() for tensor in merged.values()):
            raise ConfigurationError(f"NaNs detected in the merged weights. The adapter {adapter} seems to be broken.")
        self._unmerged.append({name: getattr(base, name).data for name in merged})
        for name, tensor in merged.items():
            getattr(base, name).data = tensor
        self.merged_adapters.append(adapter)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put back exactly the parameters that the base layer had before merging."""
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.", stacklevel=2)
        while self.merged_adapters:
            self.merged_adapters.pop()
            for name, tensor in self._unmerged.pop().items():
                getattr(self.get_base_layer(), name).data = tensor

    def _container(self, kind: str) -> nn.ModuleDict:
        return getattr(self, PREFIX + kind)

    def _applied(self) -> Iterator[tuple[PeftModule, Mask]]:
        for adapter in self.active_adapters:
            for kind, module in self.modules_of(adapter).items():
                mask = self.masks.get(kind, UNMASKED)
                if mask is not None:
                    yield module, mask

    def __repr__(self) -> str:
        return "peftsearch." + super().__repr__()
