"""A LoRA adapter with the same rank everywhere, for servers that ignore rank patterns."""

from dataclasses import replace
from pathlib import Path

from peftsearch.exports.export_format import ExportFormat, register_format
from peftsearch.exports.lora.files import reload_lora, write_lora
from peftsearch.exports.lora.form import LoraForm, read_lora_only
from peftsearch.exports.refusal import refuse
from peftsearch.exports.source import Source

_WHAT = "a servable LoRA adapter"


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write every update at the largest rank, padded with zeros, with alpha = rank and no patterns.

    vLLM's PEFTHelper and llama.cpp's convert_lora_to_gguf read one rank, one alpha, and no biases or norms.

    Raises:
        ExportError: for an adapter without LoRA, or with modules that are not LoRA.
    """
    form = read_lora_only(source, what=_WHAT)
    refuse(_WHAT, _reasons(form), instead="Export it as lora, or as merged if that is possible.")
    updates = {path: update.padded(form.largest_rank) for path, update in form.updates.items()}
    write_lora(source, replace(form, updates=updates), folder)
    notes = [f"Rank {form.largest_rank} everywhere; a server needs at least that as its largest rank."]
    if form.head:
        notes.append("It carries the task head in modules_to_save, which peft loads and vLLM refuses.")
    return tuple(notes)


def _reasons(form: LoraForm) -> dict[str, str]:
    biases = {path: "bitfit (servers take no biases)" for path, u in form.updates.items() if u.bias is not None}
    norms = dict.fromkeys(form.norms, "a changed norm (servers take none)")
    return biases | norms


register_format(
    ExportFormat("servable", "LoRA of one rank by zero padding, for vLLM and llama.cpp", write, reload_lora)
)
