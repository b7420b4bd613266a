"""The settings of a run from what users write, and from the file of a run folder."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from peftsearch.models.loading import as_quantization_text
from peftsearch.run.config import DEFAULT_METHOD, RunConfig
from peftsearch.searches.method import METHODS
from peftsearch.settings import SettingError, as_mapping, build_settings, read_yaml
from peftsearch.space.budget import as_several
from peftsearch.training.settings import TrainingSettings


def make_config(settings: Mapping[str, Any]) -> RunConfig:
    """Build the settings of a run from nested plain data, as YAML and Python users write them.

    Args:
        settings: those of `RunConfig`; `method` is a name, or a mapping with "name" and the method's settings, and
            `training` is a mapping.

    Raises:
        SettingError: for a setting that does not exist, has a wrong type or a value out of range.
        UnknownNameError: for a method or a space that does not exist.
        BudgetError: for a budget that cannot be read.

    Example:
        make_config({"model": "demo", "task": "demo", "budget": "0.1%", "method": {"name": "bipeft", "warmup": 5}})
    """
    settings = dict(settings)
    if "method_name" in settings:
        raise SettingError("Unknown setting 'method_name'. Did you mean 'method', a name or a mapping with 'name'?")
    name = method_of(settings)
    method = settings.pop("method", None) or {}
    method = {} if isinstance(method, str) else as_mapping("method", method)
    method.pop("name", None)
    nested = {
        "method_name": name,
        "method": build_settings(METHODS[name].settings, method),
        "training": build_settings(TrainingSettings, settings.pop("training", None)),
    }
    if settings.get("quantization"):
        settings["quantization"] = as_quantization_text(settings["quantization"])
    _check_place_of_training_settings(settings)
    if not settings.get("model"):
        raise SettingError("No model is given. Give --model: 'demo', a folder, a .gguf file or a hub id.")
    return build_settings(RunConfig, settings | nested)


def _check_place_of_training_settings(settings: Mapping[str, Any]) -> None:
    """Say where a setting of the training belongs, which is a flag of its own on the command line."""
    of_training = {each.name for each in fields(TrainingSettings)} - {each.name for each in fields(RunConfig)}
    for name in settings:
        if name in of_training:
            raise SettingError(
                f"'{name}' is a setting of the training. In a file write it below 'training:', and in Python "
                f"training={{'{name}': ...}}."
            )


def method_of(settings: Mapping[str, Any]) -> str:
    """Name of the method: as given, or the manual configuration's own, or the default."""
    method = settings.get("method") or {}
    name = method if isinstance(method, str) else as_mapping("method", method).get("name")
    configuration = settings.get("configuration")
    is_manual = isinstance(configuration, str) and configuration in METHODS
    name = str(name or (configuration if is_manual else DEFAULT_METHOD))
    METHODS[name]
    return name


def read_config(path: Path) -> RunConfig:
    """Read `config.yaml` of a run folder.

    Raises:
        SettingError: if it cannot be read.
    """
    document = read_yaml(path)
    budget = as_several(str(document.get("budget") or ""))
    return make_config(document | {"budget": budget, "training": as_they_were(document.get("training"))})


def as_they_were(training: Any) -> dict[str, Any]:
    """The training settings of a folder: one from before heads were probed does not name their start."""
    return {"head_start": "fresh"} | as_mapping("training", training or {})
