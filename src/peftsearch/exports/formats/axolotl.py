"""The found configuration as settings of axolotl, to train it there."""

from pathlib import Path
from typing import Any

import yaml

from peftsearch.errors import ExportError
from peftsearch.exports.export_format import ExportFormat, register_format
from peftsearch.exports.lora.files import rank_pattern
from peftsearch.exports.lora.form import LoraForm, read_lora_only
from peftsearch.exports.refusal import refuse
from peftsearch.exports.source import Source

_WHAT = "axolotl settings"
_NOTE = "These settings hold the structure and no weights; axolotl has the rank patterns since July 2026 (#3673)."


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write `axolotl.yaml` with the LoRA modules, their ranks, and the norms that are trained in full.

    Raises:
        ExportError: naming the sites that axolotl cannot train in the same way: biases, and norms of which only the
            weight or the bias is trained.
    """
    if source.base.main_input_name != "input_ids":
        raise ExportError(
            f"axolotl trains language models, but '{source.name}' is a {type(source.base).__name__}, which reads "
            f"{source.base.main_input_name}. Export it as lora or merged."
        )
    form = read_lora_only(source, what=_WHAT)
    refuse(_WHAT, _reasons(source, form), instead="Export the trained adapter as lora instead.")
    text = yaml.safe_dump(_settings(source, form), sort_keys=False)
    (folder / "axolotl.yaml").write_text(f"# Merge into the settings of a run. {_NOTE}\n{text}", encoding="utf-8")
    head = ("The task head is not part of them.",) if form.head else ()
    return (_NOTE, *head)


def _settings(source: Source, form: LoraForm) -> dict[str, Any]:
    pattern = rank_pattern(form)
    settings = {
        "base_model": source.name,
        "adapter": "lora",
        "lora_r": form.largest_rank,
        "lora_alpha": form.largest_rank,
        "lora_dropout": 0.0,
        "lora_target_modules": sorted(form.updates),
        "lora_rank_pattern": pattern,
        "lora_alpha_pattern": dict(pattern),
        "lora_modules_to_save": sorted(form.norms),
        "lora_fan_in_fan_out": form.fan_in_fan_out,
    }
    return {name: value for name, value in settings.items() if value not in ({}, [])}


def _reasons(source: Source, form: LoraForm) -> dict[str, str]:
    biases = {
        path: "bitfit (axolotl trains no single biases)" for path, u in form.updates.items() if u.bias is not None
    }
    partly = {
        path: "a norm of which axolotl would train both weight and bias"
        for path, layer in source.layers()
        if path in form.norms and len(layer.modules_of(source.adapter)) < len(form.norms[path])
    }
    return biases | partly


register_format(ExportFormat("axolotl", "settings of axolotl that train the found structure there", write))
