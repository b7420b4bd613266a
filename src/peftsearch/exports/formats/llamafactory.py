"""The found configuration as settings of LLaMA-Factory, to train it there."""

import json
from pathlib import Path
from typing import Any

import yaml

from peftsearch.exports.export_format import ExportFormat, register_format
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
    whole_modules,
)

_NAME = "LLaMA-Factory"
_RUN = "Train it with: cd into this folder, then llamafactory-cli train train.yaml (0.9.5)."
_TRAIN, _VALIDATION = "train_rows", "validation_rows"
# What it calls a training on texts, and one on chats.
_STAGES = {Rows.TEXT: "pt", Rows.CHAT: "sft"}
_ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "system_tag": "system",
}
_COPIED = (
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "weight_decay",
    "max_grad_norm",
    "report_to",
)


def write(source: Source, folder: Path) -> tuple[str, ...]:
    """Write `train.yaml` with the model, the LoRA modules and the settings, and `dataset_info.json` with the data.

    Raises:
        ExportError: naming the ranks, sites and settings that LLaMA-Factory cannot hold, or if the run is not of a
            causal language model.
    """
    found = read_trainable(source, _LLAMAFACTORY)
    document = settings_of(_structure(found) | _data(found.training) | _settings(found.training))
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (folder / "train.yaml").write_text(f"# {_RUN}\n{text}", encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps(_datasets(found.training.data), indent=2) + "\n")
    return (_RUN, *notes_on_training(found), *_notes(found.training))


def _structure(found: Trainable) -> dict[str, Any]:
    return {
        "model_name_or_path": found.model,
        "stage": _STAGES[found.training.data.rows],
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": found.form.largest_rank,
        "lora_alpha": found.form.largest_rank,
        "lora_dropout": 0.0,
        "lora_target": ",".join(sorted(found.form.updates)),
        "additional_target": ",".join(whole_modules(found.form)),
    }


def _data(training: RecordedTraining) -> dict[str, Any]:
    packs = training.settings.packing
    return {
        "dataset_dir": ".",
        "dataset": _TRAIN,
        "eval_dataset": _VALIDATION if training.data.validation else None,
        # It takes one off when it packs.
        "cutoff_len": training.max_length + packs,
        "packing": packs,
        "train_on_prompt": not training.counts_answers_alone if training.data.rows is Rows.CHAT else None,
    }


def _datasets(data: RecordedData) -> dict[str, Any]:
    """Describe the data as `dataset_info.json` does; an absolute path in it counts as it is."""
    described = {"formatting": "alpaca", "columns": {"prompt": data.columns[0]}}
    if data.rows is Rows.CHAT:
        keys = ("from", "value") if data.columns == (SHAREGPT,) else ("role", "content")
        tags = {**dict(zip(("role_tag", "content_tag"), keys)), **_ROLES}
        described = {"formatting": "sharegpt", "columns": {"messages": data.columns[0]}, "tags": tags}
    places = {_TRAIN: "train" if data.is_on_hub else data.train, _VALIDATION: data.validation}
    return {name: {**_located(data, place), **described} for name, place in places.items() if place}


def _located(data: RecordedData, place: str) -> dict[str, Any]:
    """Where a file is, or a split on the hub."""
    if not data.is_on_hub:
        return {"file_name": place}
    subset = {"subset": data.configuration} if data.configuration else {}
    return {"hf_hub_url": data.train, **subset, "split": place}


def _settings(training: RecordedTraining) -> dict[str, Any]:
    settings, is_evaluated = training.settings, training.is_evaluated
    return {
        "learning_rate": settings.rate,
        "loraplus_lr_ratio": settings.lora_b_rate if settings.lora_b_rate != 1 else None,
        "warmup_steps": settings.warmup_steps,
        **{name: getattr(settings, name) for name in _COPIED},
        "per_device_eval_batch_size": settings.per_device_train_batch_size,
        "disable_gradient_checkpointing": not settings.gradient_checkpointing,
        "bf16": settings.bf16 != "false",
        "seed": training.seed,
        "data_seed": training.seed,
        "eval_strategy": "epoch" if is_evaluated else None,
        "load_best_model_at_end": is_evaluated or None,
        "metric_for_best_model": "eval_loss" if is_evaluated else None,
        "save_strategy": "epoch",
        "logging_steps": 10,
        "output_dir": "output",
    }


def _why_not(found: Trainable) -> list[str]:
    data = found.training.data
    reasons = [*reasons_at_biases(found, _NAME), *reasons_at_own_rates(found, _NAME)]
    if found.form.rows:
        reasons.append(f"{_NAME} trains no single rows of embeddings (trl and axolotl do)")
    if len(found.ranks) > 1:
        shown = ", ".join(map(str, found.ranks))
        reasons.append(f"{_NAME} has one rank for all layers, and there are {shown} (trl and axolotl hold them)")
    reasons += plain_files_only(found, _NAME, (".json", ".jsonl", ".csv", ".parquet"))
    if data.rows not in _STAGES:
        reasons.append(
            f"{_NAME} has no template that leaves a prompt as it is and ends its completion with the end token, and "
            f"the data has {data.rows} (trl holds it, or write the rows as messages)"
        )
    reasons += [f"{_NAME} has no such column as '{name}' (trl has it)" for name in data.along]
    return reasons


def _notes(training: RecordedTraining) -> list[str]:
    data, notes = training.data, []
    if data.rows is Rows.CHAT:
        notes.append(
            "LLaMA-Factory derives a template of its own from the tokenizer's chat template: compare the example that "
            "it prints. It skips chats in which user and assistant do not take turns."
        )
    if data.columns == (SHAREGPT,):
        notes.append(NOTE_ON_SHAREGPT)
    if training.settings.bf16 == "auto":
        notes.append("bf16 is true in train.yaml; set it to false on a device without it.")
    if training.settings.early_stopping and training.is_evaluated:
        notes.append("It does not stop early (training.early_stopping): LLaMA-Factory stops by steps, not by epochs.")
    return notes


_LLAMAFACTORY = Tool(_NAME, "LLaMA-Factory settings", _why_not)
register_format(
    ExportFormat("llamafactory", "settings of LLaMA-Factory that train a found configuration of one rank", write)
)
