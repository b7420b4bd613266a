"""The format of AdapterHub's `adapters` library, for configurations that it can express."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from peftsearch.errors import ExportError
from peftsearch.exports.adapterhub.files import NAME, describe, write_head, write_json
from peftsearch.exports.adapterhub.layout import (
    BOTTLENECK_SWITCHES,
    LAYOUTS,
    LORA_SWITCHES,
    MatchedPlace,
    ModelLayout,
    find_place,
)
from peftsearch.exports.export_format import ExportFormat, register_format
from peftsearch.exports.lora.form import refuse_rows
from peftsearch.exports.refusal import refuse
from peftsearch.exports.source import Source
from peftsearch.models.task_type import task_type_of
from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.peft_module import PeftModule
from peftsearch.modules.plain_forms import LoraUpdate, PlainBottleneck
from peftsearch.task_head import SPANS, TOKENS

_WHAT = "an AdapterHub adapter"
_INSTEAD = "Export it as lora or merged if that is possible, or use the adapter itself with `import peftsearch`."


@dataclass(frozen=True)
class Contents:
    """The modules of an adapter in the library's terms.

    Args:
        loras: the LoRA updates with their places.
        bottlenecks: location and layer -> the place, the bottleneck, and whether it reads the block's input.
        reasons: layer -> why the library cannot express a module there.
    """

    loras: list[tuple[MatchedPlace, LoraUpdate]] = field(default_factory=list)
    bottlenecks: dict[tuple[str, int], tuple[MatchedPlace, PlainBottleneck, bool]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write `adapter_config.json`, `adapter.safetensors` and, with a task head, `head_config.json` and its weights.

    The library has one LoRA rank for the whole adapter, so smaller ones are padded with zeros. Each bottleneck has its
    own rank.

    Raises:
        ExportError: for a model without a layout, for a head over tokens, or naming the sites and kinds that the
            library cannot express.
    """
    layout = LAYOUTS.get(source.base.config.model_type)
    if layout is None or not source.has_adapter:
        held = f"adapters on models of the types {', '.join(LAYOUTS)}"
        raise ExportError(f"AdapterHub's format is written for {held}, not for '{source.name}'. {_INSTEAD}")
    if task_type_of(source.base) in (TOKENS, SPANS):
        raise ExportError(f"AdapterHub's format is written for heads over whole texts, not over tokens. {_INSTEAD}")
    refuse_rows(source, _WHAT, why="adapters has no place for them", instead=_INSTEAD)
    contents = _read(source, layout)
    refuse(_WHAT, contents.reasons, instead=_INSTEAD)
    if not contents.loras and not contents.bottlenecks:
        raise ExportError(f"This configuration cannot become {_WHAT}: it holds no LoRA and no bottleneck. {_INSTEAD}")
    config = source.base.config
    num_layers = config.num_hidden_layers + (config.num_decoder_layers if config.is_encoder_decoder else 0)
    configs = _lora_configs(contents, num_layers) + _bottleneck_configs(contents, source, num_layers)
    write_json(folder / "adapter_config.json", describe(source, {"architecture": "union", "configs": configs}))
    save_file(_tensors(contents), folder / "adapter.safetensors")
    if layout.head:
        write_head(source, layout, folder)
    return ("Load it with adapters 1.3.0 and transformers 4.57, use_safetensors=True; see docs/export.md.",)


def _read(source: Source, layout: ModelLayout) -> Contents:
    contents = Contents()
    for path, layer in source.layers():
        for kind, module in layer.modules_of(source.adapter).items():
            if reason := _place(contents, layout, source, path=path, layer=layer, module=module):
                contents.reasons[path] = f"{kind} ({reason})"
    return contents


def _place(
    contents: Contents, layout: ModelLayout, source: Source, *, path: str, layer: AdaptedLayer, module: PeftModule
) -> str | None:
    """Add a module to the contents, or say why that is impossible."""
    form = module.as_bottleneck() or module.as_lora(layer.get_base_layer())
    if form is None or not form.rank:
        return "the library has no such module, or another one by that name"
    places = layout.loras if isinstance(form, LoraUpdate) else layout.bottlenecks
    place = find_place(places, path, source.base.config)
    if place is None:
        return "the library has none there"
    if isinstance(form, LoraUpdate):
        contents.loras.append((place, form))
    elif module.reads_block_input and not layout.normalises_after:
        return "the library's reads the block's input before the norm, ours after it"
    elif (place.location, place.layer) in contents.bottlenecks:
        return "the library has one bottleneck at a place"
    else:
        contents.bottlenecks[place.location, place.layer] = place, form, module.reads_block_input
    return None


def _lora_configs(contents: Contents, num_layers: int) -> list[dict[str, Any]]:
    """Make the single entry that the library allows for LoRA, or none.

    It may switch on places that ours does not use; these have no tensors and add nothing.
    """
    if not contents.loras:
        return []
    places = [place for place, _ in contents.loras]
    rank = _largest_rank(contents)
    return [
        {
            "architecture": "lora",
            **{switch: any(p.location == switch for p in places) for switch in LORA_SWITCHES},
            "attn_matrices": sorted({place.matrix for place in places} - {""}),
            "leave_out": sorted(set(range(num_layers)) - {place.layer for place in places}),
            "r": rank,
            "alpha": rank,
            "init_weights": "lora",
        }
    ]


def _largest_rank(contents: Contents) -> int:
    return max((update.rank for _, update in contents.loras), default=0)


def _bottleneck_configs(contents: Contents, source: Source, num_layers: int) -> list[dict[str, Any]]:
    """Make one entry for each location in each layer."""
    width = source.base.config.hidden_size
    return [
        {
            "architecture": None,
            **{switch: switch == location for switch in BOTTLENECK_SWITCHES},
            "leave_out": [other for other in range(num_layers) if other != layer],
            # The library computes width // factor as the rank; the half guards against rounding.
            "reduction_factor": width / (bottleneck.rank + 0.5),
            "non_linearity": "gelu_new",
            "is_parallel": is_parallel,
        }
        for (location, layer), (_, bottleneck, is_parallel) in sorted(contents.bottlenecks.items())
    ]


def _tensors(contents: Contents) -> dict[str, torch.Tensor]:
    tensors = {}
    for place, update in contents.loras:
        padded = update.padded(_largest_rank(contents))
        tensors[f"{place.host}.loras.{NAME}.lora_A"] = padded.A
        tensors[f"{place.host}.loras.{NAME}.lora_B"] = padded.B
    for place, bottleneck, _ in contents.bottlenecks.values():
        down, up = (f"{place.host}.adapters.{NAME}.{name}" for name in ("adapter_down.0", "adapter_up"))
        tensors |= {f"{down}.weight": bottleneck.down, f"{down}.bias": bottleneck.down_bias}
        tensors |= {f"{up}.weight": bottleneck.up, f"{up}.bias": bottleneck.up_bias}
    return {name: tensor.contiguous().clone() for name, tensor in sorted(tensors.items())}


register_format(ExportFormat("adapters", "AdapterHub's `adapters` library: LoRA and bottlenecks, task head", write))
