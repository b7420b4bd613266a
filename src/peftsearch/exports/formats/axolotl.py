"""The found configuration as settings of axolotl, to train it there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from peftsearch.exports.export_format import ExportFormat, register_format
from peftsearch.exports.lora.files import rank_pattern
from peftsearch.exports.recorded_training import RecordedData, RecordedTraining, Rows
from peftsearch.exports.source import Source
from peftsearch.exports.trainable import (
    NOTE_ON_SHAREGPT,
    SHAREGPT,
    Tool,
    Trainable,
    notes_on_training,
    plain_files_only,
    read_trainable,
    reasons_at_biases,
    reasons_at_own_rates,
    settings_of,
    token_indices,
    whole_modules,
)
from peftsearch.tasks.tables import format_of

_NAME = "Axolotl"
_RUN = "Train it with: axolotl train axolotl.yaml (0.19 or later, for the rank patterns)."
_KINDS = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
_BF16 = {"auto": "auto", "true": True, "false": False}


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write `axolotl.yaml` with the model, the LoRA modules and their ranks, the data and the settings.

    Raises:
        ExportError: naming the sites and settings that axolotl cannot hold, or if the run is not of a causal language
            model.
    """
    found = read_trainable(source, _AXOLOTL)
    document = settings_of(_structure(found) | _data(found.training) | _settings(found.training))
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / "axolotl.yaml").write_text(f"# {_RUN}\n{text}", encoding="utf-8")
    return (_RUN, *notes_on_training(found), *_notes(found.training))


def _structure(found: Trainable) -> dict[str, Any]:
    pattern = rank_pattern(found.form)
    return {
        "base_model": found.model,
        "adapter": "lora",
        "lora_r": found.form.largest_rank,
        "lora_alpha": found.form.largest_rank,
        "lora_dropout": 0.0,
        "lora_target_modules": sorted(found.form.updates),
        "lora_rank_pattern": pattern,
        "lora_alpha_pattern": dict(pattern),
        "lora_modules_to_save": whole_modules(found.form),
        "peft_trainable_token_indices": token_indices(found.form),
        "lora_fan_in_fan_out": found.form.fan_in_fan_out or None,
    }


def _data(training: RecordedTraining) -> dict[str, Any]:
    data = training.data
    tests = [_dataset(data, data.validation)] if data.validation else []
    return {
        "datasets": [_dataset(data, "train" if data.is_on_hub else data.train)],
        "test_datasets": tests,
        "train_on_inputs": not training.counts_answers_alone,
        "sequence_len": training.max_length,
        "excess_length_strategy": "truncate",
        "sample_packing": training.settings.packing,
    }


def _dataset(data: RecordedData, place: str) -> dict[str, Any]:
    """Describe a file, or a split on the hub."""
    if data.is_on_hub:
        located = {"path": data.train, "name": data.configuration or None, "split": place}
    else:
        located = {"path": place, "ds_type": _KINDS[format_of(Path(place)) or ""], "split": "train"}
    return settings_of(located | dict(_READ_AS[data.rows](data)))


def _as_text(data: RecordedData) -> Mapping[str, Any]:
    return {"type": "completion", "field": data.columns[0]}


def _as_pair(data: RecordedData) -> Mapping[str, Any]:
    """The prompt as it is, and the completion after it."""
    prompt, completion = data.columns
    written = {"format": "{instruction}", "no_input_format": "{instruction}"}
    # Axolotl's other fields have default names, which the data may have for something else.
    unread = {"field_input": "", "field_system": ""}
    return {"type": {"field_instruction": prompt, "field_output": completion, **unread, **written}}


def _as_chat(data: RecordedData) -> Mapping[str, Any]:
    (column,) = data.columns
    return {
        "type": "chat_template",
        "chat_template": "tokenizer_default",
        "field_messages": column,
        "message_property_mappings": {"role": "from", "content": "value"} if column == SHAREGPT else None,
        "roles_to_train": ["assistant"],
    }


_READ_AS = {Rows.TEXT: _as_text, Rows.PAIR: _as_pair, Rows.CHAT: _as_chat}


def _settings(training: RecordedTraining) -> dict[str, Any]:
    settings, is_evaluated = training.settings, training.is_evaluated
    is_share = settings.warmup_steps < 1
    return {
        "learning_rate": settings.rate,
        "loraplus_lr_ratio": settings.lora_b_rate if settings.lora_b_rate != 1 else None,
        "lr_scheduler": settings.lr_scheduler_type,
        "warmup_ratio": settings.warmup_steps if is_share else None,
        "warmup_steps": None if is_share else int(settings.warmup_steps),
        "optimizer": "adamw_torch_fused",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "num_epochs": settings.num_train_epochs,
        "micro_batch_size": settings.per_device_train_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "bf16": _BF16[settings.bf16],
        "seed": training.seed,
        "eval_strategy": "epoch" if is_evaluated else None,
        "save_strategy": "epoch",
        "load_best_model_at_end": is_evaluated or None,
        "metric_for_best_model": "eval_loss" if is_evaluated else None,
        "logging_steps": 10,
        "output_dir": "output",
    }


def _why_not(found: Trainable) -> list[str]:
    data = found.training.data
    reasons = [*reasons_at_biases(found, _NAME), *reasons_at_own_rates(found, _NAME)]
    reasons += plain_files_only(found, _NAME, (*_KINDS, ".json.gz", ".jsonl.gz", ".csv.gz"))
    if data.rows not in _READ_AS:
        reasons.append(
            f"{_NAME} reads a chat from one column of messages, and the data has {data.rows} (trl holds it)"
        )
    reasons += [f"{_NAME} has no column '{name}' (trl has it)" for name in data.along if name != "tools"]
    return reasons


def _notes(training: RecordedTraining) -> list[str]:
    data, settings, notes = training.data, training.settings, []
    if data.rows is Rows.TEXT:
        notes.append("Axolotl cuts a text that is too long into several rows.")
    if settings.packing:
        notes.append(
            "Axolotl packs whole rows of up to the longest length, and needs an attention that keeps them apart."
        )
    if data.rows is Rows.PAIR:
        notes.append("Axolotl tokenises prompt and completion apart, so that no token spans both.")
    if data.columns == (SHAREGPT,):
        notes.append(NOTE_ON_SHAREGPT)
    if settings.early_stopping and training.is_evaluated:
        notes.append("It does not stop early (training.early_stopping): Axolotl stops by steps, not by epochs.")
    return notes


_AXOLOTL = Tool(_NAME, "axolotl settings", _why_not)
register_format(ExportFormat("axolotl", "settings of axolotl that train the found configuration there", write))
