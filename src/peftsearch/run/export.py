"""`peftsearch export`: write a run's result or an adapter in another tool's format."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import transformers
from peft import PeftConfig, get_peft_model
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from peftsearch import processes
from peftsearch.errors import ExportError, ModelError, RunFolderError
from peftsearch.exports.export_format import FORMATS
from peftsearch.exports.lora.form import check_lora
from peftsearch.exports.source import Source
from peftsearch.exports.writing import Export, check_target, write_export
from peftsearch.models.load import Processor, load_as, load_processor, load_task_model, sketch_model
from peftsearch.modules.adapter_config import PeftSearchConfig
from peftsearch.modules.saved_adapter import load_adapter, read_adapter_config
from peftsearch.run.recipe import MODEL
from peftsearch.run.recorded_training import read_training
from peftsearch.run.saved_model import SavedModel
from peftsearch.task_head import PICTURE, Medium, TaskHead

# peft's name of a task -> how transformers loads a model for it.
_AUTO_CLASSES = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "TOKEN_CLS": AutoModelForTokenClassification,
    "QUESTION_ANS": AutoModelForQuestionAnswering,
    "SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM,
    "CAUSAL_LM": AutoModelForCausalLM,
}
_WITH_LABELS = (AutoModelForSequenceClassification, AutoModelForTokenClassification)
_NOT_QUANTISED = (
    "The run trained on a quantised model. The export is made and checked on the model in full precision, whose "
    "outputs differ from the quantised one's."
)
# What a training saves as an adapter, by peft's names.
_EXPORTED = ("PEFTSEARCH", "ADALORA")


def run_export(run: Path, *, format: str, output: Path, model: str = "", overwrite: bool = False) -> Export:
    """Write a run's result, or an adapter, in another format.

    Args:
        run: a run folder, or the folder of an adapter.
        format: see `peftsearch list exports`.
        output: folder to write.
        model: the pretrained model, if it is no longer where the run or the adapter says.
        overwrite: replace an earlier export in `output`.

    Raises:
        UnknownNameError: for a format that does not exist.
        RunFolderError: if `run` is neither.
        ModelError: if the adapter belongs to another model.
        ExportError: if `output` is taken, or with the reasons why the export would not be exact.

    Example:
        run_export(Path("runs/demo"), format="lora", output=Path("plain-lora"))
    """
    FORMATS[format]
    check_target(output, overwrite=overwrite)
    return write_export(open_source(run, model=model), format, output)


def export_lora_beside(saved: SavedModel, folder: Path) -> str:
    """Write a run's adapter as plain LoRA too, in `lora/` of its folder, if it can be expressed as that.

    Args:
        saved: how the run saved its result.
        folder: of the run.

    Returns:
        why it was not written; "" if it was, and after full fine-tuning.
    """
    if saved.saved_as == MODEL:
        return ""
    try:
        check_target(folder / "lora", overwrite=True)
        _check_lora(saved, folder)
        with processes.whole_models():
            write_export(source_of(saved, folder), "lora", folder / "lora")
    except ExportError as error:
        return str(error)
    return ""


def _check_lora(saved: SavedModel, folder: Path) -> None:
    """Refuse an adapter of ours that cannot be plain LoRA, before any weights are loaded."""
    config = PeftConfig.from_pretrained(str(folder / saved.saved_as))
    if isinstance(config, PeftSearchConfig):
        sketch = sketch_model(saved.model, saved.head)
        check_lora(_make_source(saved, get_peft_model(sketch.model, config)))


def open_source(run: Path, *, model: str = "") -> Source:
    """Load what is to be exported; arguments and errors as in `run_export`."""
    if (run / "results.json").is_file():
        found = source_of(SavedModel.read(run, model=model), run)
        return replace(found, load_training=lambda: read_training(run))
    if (run / "adapter_config.json").is_file():
        return _source_of_adapter(run, model)
    raise RunFolderError(
        f"'{run}' is neither a finished run (it has no results.json) nor an adapter (it has no adapter_config.json)."
    )


def source_of(saved: SavedModel, folder: Path) -> Source:
    """Load the result in a run folder as the source of exports, on the pretrained model in full."""
    found = _make_source(saved.in_full, saved.in_full.load(folder)[0])
    return replace(found, notes=(_NOT_QUANTISED,) if saved.quantization else ())


def _make_source(saved: SavedModel, model: nn.Module) -> Source:
    return Source(
        saved.model,
        model,
        load_base=saved.load_base,
        load_tokenizer=lambda: _processor(saved.model, saved.head.medium),
    )


def _source_of_adapter(folder: Path, model: str) -> Source:
    """Load an adapter without a run; its own configuration names the pretrained model."""
    config = read_adapter_config(folder)
    if config.get("peft_type") not in _EXPORTED:
        raise ExportError(
            f"'{folder}' is an adapter of peft's own type {config.get('peft_type')!r}, which peft loads and merges by "
            f"itself; exports start from {' or '.join(_EXPORTED)}. Give the run folder, or its adapter/."
        )
    name = model or config.get("base_model_name_or_path") or ""
    auto_class = _class_for(config)
    options = {"num_labels": _num_labels(folder, config)} if auto_class in _WITH_LABELS else {}
    if _is_of_pictures(auto_class):
        return _source_of_pictures(folder, name, num_labels=_num_labels(folder, config))

    def load() -> PreTrainedModel:
        return load_as(auto_class, name, **options)

    return Source(
        name,
        load_adapter(load(), folder, name=name),
        load_base=load,
        load_tokenizer=lambda: _processor(name, Medium.TEXTS),
    )


def _is_of_pictures(auto_class: Any) -> bool:
    return auto_class.__name__.endswith("ForImageClassification")


def _source_of_pictures(folder: Path, name: str, *, num_labels: int) -> Source:
    """The source of an adapter for pictures, whose model mostly brings a head for other classes along."""

    def load() -> PreTrainedModel:
        return load_task_model(name, TaskHead(PICTURE, num_labels)).model

    return Source(
        name,
        load_adapter(load(), folder, name=name),
        load_base=load,
        load_tokenizer=lambda: _processor(name, Medium.PICTURES),
    )


def _class_for(config: dict[str, Any]) -> Any:
    """Find how transformers loads the model of an adapter: by its task, else by the class that peft noted."""
    if config.get("task_type") in _AUTO_CLASSES:
        return _AUTO_CLASSES[config["task_type"]]
    noted = config.get("auto_mapping")
    found = getattr(transformers, str(noted.get("base_model_class")), None) if isinstance(noted, dict) else None
    return found if isinstance(found, type) and issubclass(found, PreTrainedModel) else AutoModel


def _num_labels(folder: Path, config: dict[str, Any]) -> int:
    """Rows of the smallest matrix among the modules that were saved in full: the task head's last layer."""
    head = tuple(f"base_model.model.{name}." for name in config.get("modules_to_save") or ())
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys() if name.startswith(head)]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunFolderError(f"Cannot read the adapter in '{folder}': {error}.") from error
    return min((shape[0] for shape in shapes if len(shape) == 2), default=2)


def _processor(name: str, medium: Medium) -> Processor | None:
    try:
        return load_processor(name, medium)
    except ModelError:
        return None
