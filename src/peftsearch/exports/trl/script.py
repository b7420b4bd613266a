"""Write the script of a training with TRL from a template; every value in it is a literal of Python."""

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from peftsearch.exports.lora.files import rank_pattern
from peftsearch.exports.recorded_training import RecordedData, RecordedTraining, Rows
from peftsearch.exports.trainable import Trainable, token_indices, whole_modules
from peftsearch.tasks.tables import format_of
from peftsearch.tasks.text_files import UTF_8

# The version that the script was tested with.
TRL = "1.16.0"
# TRL's own names of columns.
_COLUMNS = {
    Rows.TEXT: ("text",),
    Rows.PAIR: ("prompt", "completion"),
    Rows.CHAT: ("messages",),
    Rows.CHAT_PAIR: ("prompt", "completion"),
}
_BF16 = {
    "auto": "torch.cuda.is_available() and torch.cuda.is_bf16_supported()",
    "true": "True",
    "false": "False",
}
# Texts joined, and cut where a row is full, for training alone.
_PACKED = {"packing": True, "packing_strategy": "wrapped", "eval_packing": False}
_COPIED = (
    "learning_rate",
    "num_train_epochs",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "gradient_checkpointing",
    "report_to",
)


def write_script(found: Trainable) -> str:
    """Write `train.py`.

    Args:
        found: the configuration, its data and its settings.

    Returns:
        Python that needs torch, transformers, peft, trl and datasets.
    """
    data, settings = found.training.data, found.training.settings
    renamed = dict(zip(data.columns, _COLUMNS[data.rows]))
    return _render(
        "train.py.jinja",
        model=found.model,
        place=f"MODEL, gguf_file={found.gguf_file!r}" if found.gguf_file else "MODEL",
        data=data,
        targets=sorted(found.form.updates),
        rank=found.form.largest_rank,
        ranks=rank_pattern(found.form),
        whole=whole_modules(found.form),
        rows=token_indices(found.form),
        has_biases=any(update.bias is not None for update in found.form.updates.values()),
        fan_in_fan_out=found.form.fan_in_fan_out,
        table=_table_options(data),
        loaded=_loaded(data),
        names=[*data.columns, *data.along],
        renamed={old: new for old, new in renamed.items() if old != new},
        settings=_settings(found.training),
        bf16=_BF16[settings.bf16],
        patience=settings.early_stopping if data.validation else 0,
        lora_b_rate=settings.lora_b_rate,
    )


def write_readme(notes: tuple[str, ...]) -> str:
    """Write how to run the script.

    Args:
        notes: sentences of ours, without a word of the user's.
    """
    versions = {package: version(package) for package in ("transformers", "peft")}
    return _render("README.md.jinja", notes=notes, trl=TRL, **versions)


def as_lines(value: Collection[str] | Mapping[str, Any]) -> str:
    """Write a list or a mapping as a literal of Python, with a line for each item."""
    if isinstance(value, Mapping):
        return _block("{", [f"{key!r}: {item!r}" for key, item in value.items()], "}")
    return _block("[", [repr(item) for item in value], "]")


def _block(opening: str, items: Sequence[str], closing: str) -> str:
    return "\n".join([opening, *(f"    {item}," for item in items), closing])


def _render(template: str, **values: Any) -> str:
    environment = Environment(trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"literal": repr, "lines": as_lines}
    text = files("peftsearch.exports.trl").joinpath(template).read_text(encoding="utf-8")
    return environment.from_string(text).render(values)


def _table_options(data: RecordedData) -> str:
    """Arguments of pandas for a csv or tsv file, read as texts as they are written; "" for other data."""
    suffix = None if data.is_on_hub else format_of(Path(data.train))
    if suffix not in (".csv", ".tsv"):
        return ""
    separator = data.reading.character or ("\t" if suffix == ".tsv" else ",")
    quoting = "csv.QUOTE_NONE" if suffix == ".tsv" else "csv.QUOTE_MINIMAL"
    return f"sep={separator!r}, quoting={quoting}, encoding={data.reading.encoding!r}"


def _loaded(data: RecordedData) -> str:
    """Arguments of `datasets.load_dataset` for other data."""
    if data.is_on_hub:
        return f"DATA, {data.configuration!r}, split=place" if data.configuration else "DATA, split=place"
    kind = "parquet" if format_of(Path(data.train)) == ".parquet" else "json"
    encoding = "" if data.reading.encoding == UTF_8 else f", encoding={data.reading.encoding!r}"
    return f"{kind!r}, data_files=place, split='train'{encoding}"


def _settings(training: RecordedTraining) -> Mapping[str, Any]:
    """Arguments of `SFTConfig`."""
    settings, data = training.settings, training.data
    by_epoch = {"eval_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    return {
        **{name: getattr(settings, name) for name in _COPIED},
        "per_device_eval_batch_size": settings.per_device_train_batch_size,
        "max_length": training.max_length,
        **(_PACKED if settings.packing else {"packing": False}),
        "completion_only_loss": settings.completion_only and data.rows in (Rows.PAIR, Rows.CHAT_PAIR),
        "assistant_only_loss": settings.assistant_only,
        "save_strategy": "epoch",
        **(by_epoch if training.is_evaluated else {}),
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_steps": 10,
    }
