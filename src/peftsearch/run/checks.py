"""Check a run before its first step."""

from pathlib import Path

from peftsearch import processes
from peftsearch.environment import refuse_several_processes
from peftsearch.errors import BudgetError, ConfigurationError, RunFolderError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS
from peftsearch.methods.manual.method import place
from peftsearch.models.quantisation import describe_quantisation
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import SPLITS, check_run_folder, read_json
from peftsearch.run.hub import check_push
from peftsearch.run.make_config import read_config
from peftsearch.run.origin import check_same_model, read_origin
from peftsearch.run.recipe import MODEL, Recipe
from peftsearch.run.same_run import check_same_run
from peftsearch.searches.method import METHODS, Driver
from peftsearch.settings import SettingError
from peftsearch.training.arguments import check_precision
from peftsearch.training.trackers import check_tracker
from peftsearch.training.workers import import_ray


def check_is_search(config: RunConfig) -> None:
    """Refuse what `peftsearch search` cannot do.

    Raises:
        ConfigurationError: for a method that does not search, or a configuration to start from.
        BudgetError: without a budget.
        SettingError: for a race that is to inherit weights.
    """
    if not METHODS[config.method_name].is_search:
        raise ConfigurationError(
            f"'{config.method_name}' does not search. Use `peftsearch train --configuration {config.method_name}`."
        )
    if not config.budget_texts:
        raise BudgetError("A search needs a budget. Give --budget, for example 0.1%, 100k or 5bp.")
    if config.configuration:
        raise ConfigurationError(
            f"A search finds its configuration; it does not start from '{config.configuration}'. "
            f"Leave --configuration out, or use `peftsearch train --configuration {config.configuration}`."
        )
    if config.inherit and METHODS[config.method_name].driver is Driver.RACE:
        raise SettingError(
            "inherit is True, but must be false in a race, whose lanes all start alike. Leave it out, or take "
            "--method pursuit or --method bipeft."
        )


def check_cost(recipe: Recipe, experiment: Experiment) -> None:
    """Refuse a recipe that is larger than the budget.

    Raises:
        BudgetError: if it is; it names both sizes.
    """
    budget, parameters = experiment.smallest_budget, recipe.num_parameters(experiment)
    if budget is not None and parameters > budget:
        hint = ", or lower --rank" if recipe.name in METHODS else "; a search on this model finds one within it"
        raise BudgetError(
            f"The configuration has {parameters:,} parameters, above the budget of {budget:,}. "
            f"Raise --budget, leave it out{hint}."
        )


def check_trains_modules(recipe: Recipe, experiment: Experiment) -> None:
    """Refuse to train weights that are quantised or shared out over processes.

    Raises:
        ConfigurationError: for full fine-tuning of such a model.
    """
    if recipe.saved_as == MODEL and processes.shards_model():
        raise ConfigurationError(
            f"'{recipe.name}' trains every weight of the model, and --shard_model true shares out frozen ones. Train "
            "modules, such as --configuration lora, or leave it out."
        )
    if recipe.saved_as == MODEL and experiment.quantization:
        raise ConfigurationError(
            f"'{recipe.name}' trains every weight of the model, and quantised ones "
            f"({describe_quantisation(experiment.quantization)}) cannot be trained. Train modules, such as "
            "--configuration lora, or load the model in full."
        )


def check_baselines(config: RunConfig, experiment: Experiment) -> None:
    """Refuse a baseline that fits nowhere in the model, before the search.

    Raises:
        ConfigurationError: for the first one.
    """
    for method in config.baseline_names:
        place(MANUAL_METHODS[method], experiment.sites, rank=1)


def check_folder(config: RunConfig) -> None:
    """Check that a run may write to its folder, and on resuming that the folder holds the same run.

    Raises:
        RunFolderError: if not.
    """
    folder = Path(config.output_folder)
    check_run_folder(folder, resume=config.resume, overwrite=config.overwrite)
    if config.resume and (folder / "config.yaml").exists():
        check_same_run(config, read_config(folder / "config.yaml"), moved=_may_have_moved(folder))


def _may_have_moved(folder: Path) -> tuple[str, ...]:
    """Settings whose paths may be others on resuming, as the run has a fingerprint of what they name."""
    origin = read_origin(folder)
    model = ("model",) if origin and origin.model_sha256 else ()
    return (*model, "data", "data_dir") if (folder / SPLITS).exists() else model


def changed_splits(folder: Path, experiment: Experiment) -> list[str]:
    """Names of the splits whose examples are no longer those that a run was started with; none without a record.

    Raises:
        RunFolderError: if the record cannot be read.
    """
    record = folder / SPLITS
    if not record.exists():
        return []
    then, now = read_json(record).get("sha256", {}), experiment.task.split_record()["sha256"]
    assert isinstance(now, dict)
    return [name for name, found in now.items() if then.get(name) != found]


def check_same_inputs(config: RunConfig, experiment: Experiment) -> None:
    """Refuse to resume a run with another model or on other examples than it was started with.

    Raises:
        RunFolderError: for another model, or with the splits that differ.
    """
    if not config.resume:
        return
    folder = Path(config.output_folder)
    check_same_model(folder, config.model)
    changed = changed_splits(folder, experiment)
    if changed:
        raise RunFolderError(
            f"The data has changed since the run in '{folder}' was started: other examples in {', '.join(changed)}. "
            "Resume with the same files, or start anew with --overwrite or another --output."
        )


def check_services(config: RunConfig) -> None:
    """Check what a run trains with (processes, precision, ray), the tracker that it reports to and the hub.

    Raises:
        PeftSearchError: for the first that cannot be used.
    """
    check_precision(config.training.bf16)
    if config.workers > 1:
        refuse_several_processes(f"a race with {config.workers} workers")
        import_ray()
    check_tracker(config.training.report_to)
    check_push(config)
