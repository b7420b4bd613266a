"""Attention functions that add prefixes, registered in transformers' attention interface as "peftsearch_...".

Each calls the function that it replaces and adds the outputs of the prefixes. Masks, positions and caches need no
change, since a prefix has its own softmax.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from peftsearch.errors import ConfigurationError
from peftsearch.modules.adapted_layer import PREFIX, AdaptedLayer
from peftsearch.modules.peft_module import KINDS

# Attention implementations that can add prefixes.
SUPPORTED = ("sdpa", "eager")


def keep_attention(model: nn.Module) -> None:
    """Call `choose_attention` again if another implementation has been set since, which would ignore the prefixes."""
    if not _implementation(model).startswith(PREFIX):
        choose_attention(model)


def choose_attention(model: Any) -> None:
    """Let a model's attention add prefixes if it has any, else restore its own implementation.

    Args:
        model: of transformers, with our layers in it.

    Raises:
        ConfigurationError: for prefixes in a model whose attention implementation cannot add them.
    """
    current = _implementation(model)
    wanted = PREFIX + current.removeprefix(PREFIX) if _holds_prefixes(model) else current.removeprefix(PREFIX)
    if wanted == current:
        return
    if wanted.startswith(PREFIX) and current not in SUPPORTED:
        raise ConfigurationError(
            f"Prefixes cannot work with the attention implementation '{current}'. "
            f'Load the model with attn_implementation="{SUPPORTED[0]}" (possible: {", ".join(SUPPORTED)}).'
        )
    model.set_attn_implementation(wanted)


def _implementation(model: nn.Module) -> str:
    return getattr(getattr(model, "config", None), "_attn_implementation", None) or ""


def _holds_prefixes(model: nn.Module) -> bool:
    kinds = [PREFIX + kind for kind in KINDS if KINDS[kind].acts_in_attention]
    layers = (module for module in model.modules() if isinstance(module, AdaptedLayer))
    return any(len(getattr(layer, kind)) for layer in layers for kind in kinds)


def _with_prefixes(implementation: str) -> Callable[..., tuple[torch.Tensor, torch.Tensor | None]]:
    """Make an attention function that adds prefixes to the output of the named implementation."""

    def attend(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        base = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, _eager_attention_of(module))
        output, weights = base(module, query, key, value, attention_mask, **options)
        for layer in module.children():
            for prefix, gates in layer.applied_in_attention() if isinstance(layer, AdaptedLayer) else ():
                added = prefix.attend(query, num_key_heads=key.shape[1], scaling=options.get("scaling"), mask=gates)
                output = output + added.to(output.dtype)
        return output, weights

    return attend


def _eager_attention_of(module: nn.Module) -> Any:
    """The eager attention function, of which every model file has its own; None where it has none."""
    return getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)


for _name in SUPPORTED:
    AttentionInterface.register(PREFIX + _name, _with_prefixes(_name))
    AttentionMaskInterface.register(PREFIX + _name, ALL_MASK_ATTENTION_FUNCTIONS[_name])
