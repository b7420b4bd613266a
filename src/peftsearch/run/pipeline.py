"""From a run's settings to its folder: search, train, prove, compare with the baselines, report."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import nn

from peftsearch.environment import environment
from peftsearch.errors import UnknownNameError
from peftsearch.files import write_json, write_text
from peftsearch.methods.manual.manual_methods import UNIFORM_LORA
from peftsearch.mirror_upkeep import kept_up
from peftsearch.report.result_parts import FrontEntry, RandomBaseline, UniformBaseline
from peftsearch.report.results import SEARCHED
from peftsearch.run.candidates import LOSS, Candidate, baseline_folder, hand_over, train_by_hand
from peftsearch.run.checks import (
    changed_splits,
    check_baselines,
    check_cost,
    check_folder,
    check_is_search,
    check_same_inputs,
    check_services,
    check_trains_modules,
)
from peftsearch.run.choose_recipe import recipe_of
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.finish import finish
from peftsearch.run.folder import SPLITS, alone_in, make_run_folder, write_sites
from peftsearch.run.ladder import add_ladder, describe_ladder
from peftsearch.run.make_config import read_config
from peftsearch.run.model_notes import head_notes, site_notes
from peftsearch.run.origin import AS_NOTED, Origin, Places
from peftsearch.run.outlook import describe_found, describe_trained
from peftsearch.run.pareto import train_front
from peftsearch.run.proof import score
from peftsearch.run.rate_choice import choose_rates
from peftsearch.run.recipe import FreshModules, Recipe, found_modules
from peftsearch.run.results import add_baselines, add_search, describe_random, describe_uniform, make_results
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.search import search_configuration
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import INHERITED, TRAINING
from peftsearch.run.several_processes import shared_by_processes
from peftsearch.run.threshold import read_threshold
from peftsearch.run.train import TrainingStage
from peftsearch.tasks.class_weights import describe_weights

logger = logging.getLogger(__name__)


def run_search(config: RunConfig) -> Path:
    """Search a configuration, train it, prove it and compare it with uniform LoRA of at most the same budget.

    Returns:
        the run folder; see docs/run_folder.md.

    Raises:
        PeftSearchError: for the first thing that is wrong with settings, data, model or folder.
    """
    check_is_search(config)
    with shared_by_processes(config) as own:
        experiment = open_experiment(own)
        check_baselines(own, experiment)
        budget = min(experiment.usable_budgets().values())
        with _started(own, experiment) as folder:
            _search(own, experiment, folder, budget)
    return Path(config.output_folder)


@contextmanager
def _started(config: RunConfig, experiment: Experiment) -> Iterator[Path]:
    """Begin the run folder, which is this process's alone inside of the context and whose mirror is kept up."""
    with alone_in(Path(config.output_folder)):
        folder = _start(config, experiment)
        with kept_up(config.copy):
            yield folder


def _search(config: RunConfig, experiment: Experiment, folder: Path, budget: int) -> None:
    logger.info("The result is %s.", describe_found(config, experiment))
    if trainings := describe_ladder(config, experiment):
        logger.info("The search is followed by %s.", trainings)
    request = SearchRequest(config.method_name, config.method, config.inherit)
    found = search_configuration(experiment, request, folder)
    notes = (*site_notes(experiment), *budget_notes(experiment), *found.notes)
    for note in notes:
        logger.warning(note)
    stage = _make_stage(config, experiment, folder, budget)
    recipe = found_modules(
        found.configuration,
        folder / INHERITED,
        inherits_head=config.inherit,
        name="train",
        method=request.method,
        notes=notes,
    )
    searched = Candidate(SEARCHED, TRAINING, recipe, stage.train(recipe, TRAINING))
    trained = make_results(config, experiment, searched.trained, recipe)
    results = add_search(trained, config, experiment, found, searched.trained)
    tried = {name: train_by_hand(stage, name, folder=baseline_folder(name)) for name in config.baseline_names}
    by_hand = [candidate for candidate in tried.values() if candidate]
    left_out = [f"The budget holds no module of the baseline {name}." for name, one in tried.items() if one is None]
    metric = experiment.task.selection_metric if config.metric else LOSS
    handed, handed_over = hand_over(searched, by_hand, keep=config.keep, experiment=experiment, metric=metric)
    results = replace(
        add_baselines(replace(results, notes=(*results.notes, *left_out)), experiment, by_hand),
        handed_over=handed_over,
        random_baseline=_train_random(stage, budget) if config.random_baseline else None,
        pareto=_train_front(stage, request.method) if config.pareto else (),
    )
    train_baseline = _train_uniform if config.has_uniform_lora else None
    results = add_ladder(results, stage, found, train_baseline=train_baseline, inherits_head=config.inherit)
    finish(config, experiment, handed, results=results)


def run_train(config: RunConfig) -> Path:
    """Train a configuration from a file, a run or a manual one by name; a budget, if given, is enforced.

    Returns:
        the run folder; see docs/run_folder.md.

    Raises:
        PeftSearchError: as in `run_search`.
    """
    with shared_by_processes(config) as own:
        experiment = open_experiment(own)
        recipe = recipe_of(own, experiment)
        check_trains_modules(recipe, experiment)
        check_cost(recipe, experiment)
        recipe = replace(recipe, notes=(*site_notes(experiment), *recipe.notes))
        for note in recipe.notes:
            logger.warning(note)
        with _started(own, experiment) as folder:
            _train(own, experiment, folder, recipe)
    return Path(config.output_folder)


def _train(config: RunConfig, experiment: Experiment, folder: Path, recipe: Recipe) -> None:
    logger.info("The result is %s.", describe_trained(recipe, experiment))
    trained = _make_stage(config, experiment, folder, experiment.smallest_budget).train(recipe, TRAINING)
    write_text(folder / "configuration.json", trained.configuration.to_json())
    results = make_results(config, experiment, trained, recipe)
    finish(config, experiment, Candidate(recipe.name, TRAINING, recipe, trained), results=results)


def run_evaluate(run: Path, split: str, places: Places = AS_NOTED) -> dict[str, float]:
    """Score a run's saved result on one of its splits.

    Args:
        run: the run folder.
        split: "train", "validation" or "test".
        places: of model and data, if they have moved.

    Returns:
        metric -> score, in percent or in the unit of the labels.

    Raises:
        RunFolderError: if the folder is not a finished run.
        UnknownNameError: for another split.
    """
    if split not in ("train", "validation", "test"):
        raise UnknownNameError("split", split, ("train", "validation", "test"))
    model = load_run(run, places.model)
    experiment = Experiment.open(places.move(run, read_config(run / "config.yaml")))
    if split in changed_splits(run, experiment):
        logger.warning(
            "The %s split has changed since the run in '%s': these are scores on other examples.", split, run
        )
    return score(model, experiment, split, threshold=read_threshold(run))


def load_run(run: Path, model: str = "") -> nn.Module:
    """Load the trained model of a finished run; the task's data is not needed.

    Args:
        run: the run folder.
        model: the pretrained model, if it is not where the run says.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    return SavedModel.read(run, model=model).load(run)[0]


def open_experiment(config: RunConfig) -> Experiment:
    """Load and check everything that can be checked before a file is written.

    Raises:
        PeftSearchError: for the first thing that is wrong.
    """
    check_folder(config)
    check_services(config)
    experiment = Experiment.open(config)
    check_same_inputs(config, experiment)
    experiment.check()
    return experiment


def _start(config: RunConfig, experiment: Experiment) -> Path:
    """Make the run folder, which this process has locked, and write settings, environment, sites and split."""
    folder = Path(config.output_folder)
    # Another process may have filled it since the first check.
    check_folder(config)
    make_run_folder(folder, resume=config.resume)
    write_text(folder / "config.yaml", config.to_yaml())
    write_json(folder / "environment.json", environment())
    Origin.here(config.model).save(folder)
    write_sites(folder / "sites.json", experiment.sites)
    write_json(folder / SPLITS, experiment.task.split_record())
    for note in head_notes(experiment):
        logger.warning(note)
    if weights := experiment.task_format.class_weights:
        logger.info("The loss weighs the classes: %s.", describe_weights(experiment.task.labels, weights))
    return folder


def _make_stage(config: RunConfig, experiment: Experiment, folder: Path, budget: int | None) -> TrainingStage:
    seeds = range(config.seed, config.seed + config.seeds)
    return TrainingStage(experiment, folder, seeds, choose_rates(config, experiment), budget)


def budget_notes(experiment: Experiment) -> list[str]:
    """Notes for the user on budgets that are larger than the space."""
    return [
        f"The budget {text} ({experiment.budgets[text]:,} parameters) is larger than the whole space ({usable:,}); "
        "all of it can be used."
        for text, usable in experiment.usable_budgets().items()
        if usable < experiment.budgets_of_modules[text]
    ]


def _train_uniform(stage: TrainingStage, folder: str) -> UniformBaseline | None:
    candidate = train_by_hand(stage, UNIFORM_LORA, folder=folder)
    return describe_uniform(stage.experiment, candidate.trained) if candidate else None


def _train_random(stage: TrainingStage, budget: int) -> RandomBaseline:
    """Train one draw from the space within the budget: a search without searching."""
    experiment = stage.experiment
    encoding = experiment.make_encoding().within(budget)
    configuration = encoding.decode(encoding.sample(random.Random(f"{experiment.seed} baseline")))
    write_text(stage.folder / "random_baseline" / "configuration.json", configuration.to_json())
    recipe = FreshModules("random baseline", configuration=configuration)
    return describe_random(experiment, stage.train(recipe, "random_baseline"))


def _train_front(stage: TrainingStage, method: str) -> tuple[FrontEntry, ...]:
    largest = max(stage.experiment.usable_budgets().values())
    return train_front(replace(stage, budget=largest), method=method)
