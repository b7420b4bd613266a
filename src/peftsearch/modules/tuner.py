"""The peft method "peftsearch": an adapter with a different set of modules at each site, which peft can load.

Importing this file registers the method.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from peft.utils import register_peft_method
from torch import nn

from peftsearch.errors import ConfigurationError, MergeError, ModelError
from peftsearch.modules.adapted_layer import PREFIX, AdaptedLayer
from peftsearch.modules.adapter_config import NAME, PEFT_TYPE, PeftSearchConfig, paths_of_kinds
from peftsearch.modules.attention import choose_attention, keep_attention
from peftsearch.names import as_names
from peftsearch.space import Role

# Ranks up to this are allowed at any width of a layer: a prefix can be longer than a small layer is wide.
FREE_RANK = 256
# Sites named in a message.
_NAMED = 5


def _check_ranks(path: str, ranks: dict[str, int], layer: nn.Module) -> None:
    """Refuse ranks that exceed a layer's width, before a small file allocates endless memory."""
    widest = max([FREE_RANK, *(size for parameter in layer.parameters() for size in parameter.shape)])
    for kind, rank in ranks.items():
        if rank > widest:
            raise ConfigurationError(f"Rank {rank:,} of {kind} at '{path}' is above {widest:,}, its largest width.")


class PeftSearchModel(BaseTuner):
    """The tuner of the method: it wraps the layers of an adapter, and checks what is loaded and merged."""

    prefix = PREFIX
    tuner_layer_cls = AdaptedLayer
    target_module_mapping: ClassVar[dict[str, list[str]]] = {}
    peft_config: dict[str, PeftSearchConfig]

    @staticmethod
    def _check_target_module_exists(peft_config: PeftSearchConfig, key: str) -> bool:
        return key in peft_config.sites

    def _prepare_model(self, peft_config: PeftSearchConfig, model: nn.Module) -> None:
        """Refuse sites that the model lacks, before anything is changed; peft would silently skip them."""
        layers = dict(model.named_modules())
        missing = sorted(peft_config.sites.keys() - layers.keys())
        if missing:
            raise ConfigurationError(
                f"{len(missing)} of the adapter's {len(peft_config.sites)} sites are not in this "
                f"{type(model).__name__}, such as '{missing[0]}'. Load the adapter onto the model that it was made "
                f"for: {peft_config.base_model_name_or_path or 'adapter_config.json does not name it'}."
            )
        for path, ranks in peft_config.sites.items():
            _check_ranks(path, ranks, layers[path])

    def _create_and_replace(
        self,
        peft_config: PeftSearchConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        layer = target if isinstance(target, AdaptedLayer) else AdaptedLayer(target)
        ranks = peft_config.sites[current_key]
        role = Role(peft_config.roles[current_key]) if current_key in peft_config.roles else None
        layer.add_modules(adapter_name, ranks, role=role, inference_mode=peft_config.inference_mode)
        if not peft_config.init_weights:
            layer.randomise(adapter_name)
        if current_key in peft_config.inputs:
            layer.hook_block_input(self._base_layer_at(peft_config.inputs[current_key]))
        if layer is not target:
            if adapter_name not in self.active_adapters:
                layer.requires_grad_(False)
            self._replace_module(parent, target_name, layer, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """Put one module in another's place; peft's own wants a weight of each, and a task head may be a block."""
        setattr(parent, child_name, new_module)

    def _base_layer_at(self, path: str) -> nn.Module:
        """Find the layer at a path, without our wrapper.

        Raises:
            ConfigurationError: if the model has none.
        """
        try:
            layer = self.model.get_submodule(path)
        except AttributeError as error:
            raise ConfigurationError(f"'inputs' names '{path}', which this model does not have.") from error
        return layer.get_base_layer() if isinstance(layer, AdaptedLayer) else layer

    def _post_injection_hook(self, model: nn.Module, config: PeftSearchConfig, adapter_name: str) -> None:
        super()._post_injection_hook(model, config, adapter_name)
        choose_attention(model)

    @contextmanager
    def _enable_peft_forward_hooks(self, *args: Any, adapter_names: Any = None, **options: Any) -> Iterator[None]:
        """Prepare a forward pass of a `PeftModel`, which peft runs inside of this context."""
        if adapter_names is not None:
            raise ConfigurationError(
                "'adapter_names' (one batch for several adapters) works with peft's LoRA, not with PEFTSEARCH. "
                "Choose an adapter with set_adapter and run its rows alone."
            )
        if any(paths_of_kinds(config.sites, "acts_in_attention") for config in self.peft_config.values()):
            keep_attention(self.model)
        yield

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls, model: nn.Module, config: PeftSearchConfig, adapter_name: str, state_dict: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        remapped = super()._remap_adapter_state_dict_for_load(model, config, adapter_name, state_dict)
        _check_shapes(model, remapped)
        return remapped

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter and all its modules."""
        super().delete_adapter(adapter_name)
        choose_attention(self.model)

    def unmergeable_sites(self, adapter_names: list[str] | None = None) -> dict[str, str]:
        """Find the layers that cannot be merged.

        Args:
            adapter_names: None for the active adapters.

        Returns:
            module name -> the reason.
        """
        names = as_names("adapter_names", adapter_names or self.active_adapters)
        return {
            name: reason
            for name, layer in self.model.named_modules()
            if isinstance(layer, AdaptedLayer)
            for adapter in names
            if (reason := layer.unmergeable_reason(adapter))
        }

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        """Merge adapters into the base layers, in place.

        Args:
            adapter_names: None for the active adapters.
            safe_merge: whether to refuse weights that are not finite.

        Raises:
            MergeError: if a site cannot be merged; nothing is changed then.
        """
        self._refuse_unmergeable(adapter_names)
        super().merge_adapter(adapter_names=adapter_names, safe_merge=safe_merge)

    def _unload_and_optionally_merge(self, merge: bool = True, **settings: Any) -> nn.Module:
        if merge:
            self._refuse_unmergeable(settings.get("adapter_names"))
        layers = [module for module in self.model.modules() if isinstance(module, AdaptedLayer)]
        super()._unload_and_optionally_merge(merge=merge, **settings)
        for layer in layers:
            layer.unhook_block_input()
        choose_attention(self.model)
        return self.model

    def _refuse_unmergeable(self, adapter_names: list[str] | None) -> None:
        refused = self.unmergeable_sites(adapter_names)
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(refused.items())[:_NAMED])
            more = f" and {len(refused) - _NAMED} more (`unmergeable_sites()`)" if len(refused) > _NAMED else ""
            raise MergeError(
                f"Merging is impossible at {len(refused)} site(s): {reasons}{more}. Keep the adapter unmerged."
            )


def _check_shapes(model: nn.Module, state_dict: dict[str, torch.Tensor]) -> None:
    """Refuse an adapter whose tensors have other shapes than the model's modules."""
    own = {name: parameter.shape for name, parameter in model.named_parameters() if PREFIX in name}
    wrong = [name for name in own.keys() & state_dict.keys() if own[name] != state_dict[name].shape]
    if wrong:
        first = min(wrong)
        raise ModelError(
            f"The adapter is for another model: {len(wrong)} of its tensors have another shape, such as '{first}', "
            f"which is {tuple(state_dict[first].shape)} and must be {tuple(own[first])} here."
        )


if PEFT_TYPE not in PEFT_TYPE_TO_CONFIG_MAPPING:
    register_peft_method(name=NAME.lower(), config_cls=PeftSearchConfig, model_cls=PeftSearchModel)
