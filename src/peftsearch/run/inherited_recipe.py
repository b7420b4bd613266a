"""The recipe of `train --configuration RUN --inherit true`: go on from the weights of another run's adapter."""

from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigurationError
from peftsearch.modules.adapter_config import NAME
from peftsearch.modules.saved_adapter import read_adapter_config
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json, read_sites
from peftsearch.run.origin import is_made_with
from peftsearch.run.recipe import ADAPTER, MODEL, FreshModules, InheritedModules, InheritedUnderNewHead
from peftsearch.space import Choice, Configuration


def inherit_from(run: Path, experiment: Experiment) -> FreshModules:
    """Make the recipe that goes on from the adapter of a run, or in a folder.

    Every module keeps its place, its rank and its weights. The task head is taken over as well if both tasks have
    classes of the same names in the same order; else it starts as in every other training.

    Args:
        run: folder of a finished run, or of an adapter.
        experiment: is trained.

    Raises:
        ConfigurationError: if there is no such adapter, or it is for another model.
    """
    folder = _adapter_of(run)
    config = read_adapter_config(folder)
    if config.get("peft_type") != NAME:
        raise ConfigurationError(
            f"The adapter in '{folder}' is of peft's type {config.get('peft_type')}, but --inherit takes those of "
            "peftsearch's own. Leave --inherit out to train the same configuration with fresh weights."
        )
    _check_same_rows(config, folder, experiment)
    configuration = _configuration_of(config, folder, experiment)
    _check_same_model(run, configuration, experiment)
    recipe: dict[str, Any] = {"configuration": configuration, "folder": folder}
    labels = tuple(_saved(run).get("labels") or ())
    if not experiment.head or (labels and labels == tuple(experiment.task_format.head.labels)):
        return InheritedModules("configuration", notes=(_describe(run, "and its task head"),), **recipe)
    had = f"that run had the classes {', '.join(labels[:4])}" if labels else "that run names no classes"
    note = _describe(run, f"and a new task head, since {had}")
    return InheritedUnderNewHead("configuration", notes=(note,), **recipe)


def _adapter_of(run: Path) -> Path:
    for folder in (run / ADAPTER, run):
        if (folder / "adapter_config.json").is_file():
            return folder
    if (run / MODEL).is_dir():
        raise ConfigurationError(
            f"'{run}' trained the whole model, so there is no adapter to go on from. Write the model with `peftsearch "
            f"export {run} --format merged --output FOLDER`, and give that folder as --model."
        )
    raise ConfigurationError(
        f"--inherit goes on from the adapter of a finished run, but '{run}' holds no adapter. Give its folder, or "
        "that of an adapter, as --configuration."
    )


def _configuration_of(config: dict[str, Any], folder: Path, experiment: Experiment) -> Configuration:
    """Read the configuration of an adapter by the names of a model's sites."""
    names = {site.path: site.name for site in experiment.sites}
    missing = sorted(set(config["sites"]) - names.keys())
    if missing:
        raise ConfigurationError(
            f"The adapter in '{folder}' has modules at {len(missing)} places that '{experiment.model}' lacks, such as "
            f"'{missing[0]}'. Weights are inherited at the same places only; leave --inherit out to transfer the "
            "configuration to a model of another depth."
        )
    return Configuration.of(
        Choice(names[path], kind, rank) for path, ranks in config["sites"].items() for kind, rank in ranks.items()
    )


def _check_same_rows(config: dict[str, Any], folder: Path, experiment: Experiment) -> None:
    there, here = config.get("trainable_token_indices") or {}, dict(experiment.token_rows.indices)
    if there != here:
        raise ConfigurationError(
            f"The adapter in '{folder}' trained the rows of {_tokens_of(there)}, and this training those of "
            f"{_tokens_of(here)}. Give the same --training.trainable_tokens to go on from its weights."
        )


def _tokens_of(indices: dict[str, list[int]]) -> str:
    ids = sorted({index for each in indices.values() for index in each})
    return f"the tokens {', '.join(map(str, ids))}" if ids else "no tokens"


def _check_same_model(run: Path, configuration: Configuration, experiment: Experiment) -> None:
    there = {site.name: site for site in read_sites(run / "sites.json")} if (run / "sites.json").exists() else {}
    here = {site.name: site for site in experiment.sites}
    has_other_sites = any(there.get(choice.site, here[choice.site]) != here[choice.site] for choice in configuration)
    if has_other_sites or not is_made_with(run, experiment.model):
        raise ConfigurationError(
            f"The adapter of '{run}' was trained on another model than '{experiment.model}', so its weights mean "
            "nothing there. Give the run's own --model, or leave --inherit out to start its configuration afresh."
        )


def _saved(run: Path) -> dict[str, Any]:
    """What `results.json` says of the saved result; nothing for the folder of an adapter."""
    found = read_json(run / "results.json").get("saved") if (run / "results.json").exists() else None
    return found if isinstance(found, dict) else {}


def _describe(run: Path, head: str) -> str:
    return f"The training starts with the weights of the adapter of '{run.resolve().name}' {head}."
