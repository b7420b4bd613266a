"""A LoRA adapter with the same rank everywhere, for servers that ignore rank patterns."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from peftsearch.exports.export_format import Claim, ExportFormat, register_format
from peftsearch.exports.lora.files import reload_lora, write_lora
from peftsearch.exports.lora.form import is_linear, read_lora_only, refuse_rows, why_not_lora
from peftsearch.exports.refusal import reasons_against, refuse
from peftsearch.exports.source import Source
from peftsearch.modules.peft_module import PeftModule

_WHAT = "a servable LoRA adapter"
_NO_ROWS = "servers take none"


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write every update at the largest rank, padded with zeros, with alpha = rank and no patterns.

    vLLM's PEFTHelper and llama.cpp's convert_lora_to_gguf read one rank, one alpha, and no biases or norms.

    Raises:
        ExportError: for an adapter without LoRA, or with modules that are not LoRA.
    """
    form = read_lora_only(source, what=_WHAT)
    refuse(
        _WHAT,
        reasons_against(source, why_not_servable),
        instead="Export it as lora, or as merged if that is possible.",
    )
    refuse_rows(source, _WHAT, why=_NO_ROWS, instead="Export it as merged, which holds them.")
    updates = {path: update.padded(form.largest_rank) for path, update in form.updates.items()}
    write_lora(source, replace(form, updates=updates), folder)
    notes = [f"Rank {form.largest_rank} everywhere; a server needs at least that as its largest rank."]
    if form.head:
        notes.append(
            "It carries the task head in modules_to_save, which peft loads, and vLLM and llama.cpp's converter refuse."
        )
    if form.fan_in_fan_out:
        notes.append(
            "llama.cpp's converter turns the updates of GPT-2's layers (Conv1D) around, so that they do not fit: for "
            "llama.cpp, export it as merged and convert that."
        )
    return tuple(notes)


def why_not_servable(module: PeftModule, base_layer: nn.Module) -> str | None:
    """Say why servers cannot take a module; None if it is LoRA without a bias."""
    if reason := why_not_lora(module, base_layer):
        return reason
    if not is_linear(base_layer):
        return "a changed norm, and servers take none"
    update = module.as_lora(base_layer)
    return None if update is None or update.bias is None else "servers take no biases"


register_format(
    ExportFormat(
        "servable",
        "LoRA of one rank by zero padding, for vLLM and llama.cpp",
        write,
        reload_lora,
        Claim("servable (vLLM, llama.cpp, no task head)", why_not_servable, holds_rows=False),
    )
)
