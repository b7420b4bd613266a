"""Write and reload the files of a plain peft LoRA adapter; equal adapters give equal bytes."""

import json
import re
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel
from peft.utils.constants import DUMMY_TARGET_MODULES
from peft.utils.warning import PeftWarning
from safetensors.torch import save_file
from torch import nn

from peftsearch.exports.lora.form import LoraForm
from peftsearch.exports.source import Source
from peftsearch.modules.attach import TOKEN_ROWS

_PREFIX = "base_model.model."


def write_lora(source: Source, form: LoraForm, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`.

    Every update has alpha = rank, so that its scale is 1 whatever its rank. An update of rank 0 gets one component of
    zeros, which peft needs.

    Args:
        source: the one that the form was read from.
        form: what is written.
        folder: it must exist.
    """
    has_biases = any(update.bias is not None for update in form.updates.values())
    tensors: dict[str, torch.Tensor] = {}
    for path, update in form.updates.items():
        shown = update.padded(max(1, update.rank))
        tensors[f"{_PREFIX}{path}.lora_A.weight"] = shown.A
        tensors[f"{_PREFIX}{path}.lora_B.weight"] = shown.B
        if has_biases:
            tensors[f"{_PREFIX}{path}.lora_B.bias"] = (
                shown.B.new_zeros(len(shown.B)) if update.bias is None else update.bias
            )
    for path, saved in {**form.norms, **form.head}.items():
        tensors |= {f"{_PREFIX}{path}.{name}": tensor for name, tensor in saved.items()}
    for path, rows in form.rows.items():
        tensors[f"{_PREFIX}{path}.token_adapter.{TOKEN_ROWS}"] = rows.values
    config = make_lora_config(source, form, has_biases=has_biases)
    _write_config(config, folder / "adapter_config.json")
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in sorted(tensors.items())}
    save_file(plain, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def make_lora_config(source: Source, form: LoraForm, *, has_biases: bool) -> LoraConfig:
    """Make peft's configuration of a form: the largest rank, and patterns for sites with another rank.

    Args:
        source: the one that the form was read from.
        form: what is written.
        has_biases: whether each update has a bias.
    """
    native = source.peft_model.peft_config[source.adapter]
    pattern = rank_pattern(form)
    return LoraConfig(
        r=form.largest_rank,
        lora_alpha=form.largest_rank,
        rank_pattern=pattern,
        alpha_pattern=dict(pattern),
        lora_bias=has_biases,
        fan_in_fan_out=form.fan_in_fan_out,
        target_modules=sorted(form.updates) or DUMMY_TARGET_MODULES,
        modules_to_save=sorted([*form.norms, *form.head]) or None,
        trainable_token_indices={path: list(rows.indices) for path, rows in form.rows.items()} or None,
        task_type=native.task_type,
        base_model_name_or_path=native.base_model_name_or_path,
        inference_mode=True,
    )


def rank_pattern(form: LoraForm) -> dict[str, int]:
    """Map an expression for each module's name to the rank, where that is not the largest."""
    ranks = {path: max(1, update.rank) for path, update in sorted(form.updates.items())}
    # peft matches "(.*\.)?(KEY)$": without the anchor, the same name inside of another module would match too.
    return {f"^{re.escape(path)}": rank for path, rank in ranks.items() if rank != form.largest_rank}


def _write_config(config: LoraConfig, path: Path) -> None:
    """Write a configuration as peft does, but with sets sorted."""
    document = {name: sorted(v) if isinstance(v, set) else v for name, v in config.to_dict().items()}
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def reload_lora(source: Source, folder: Path) -> nn.Module:
    """Load a plain LoRA adapter with peft alone."""
    with warnings.catch_warnings():
        # That peft merges no bias into a layer without one is in docs/export.md, and no news to who looks at a run.
        warnings.filterwarnings("ignore", message="`lora_bias=True` was passed", category=PeftWarning)
        return PeftModel.from_pretrained(source.load_base(), str(folder))
