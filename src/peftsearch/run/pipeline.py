"""From a run's settings to its folder: search, train, prove, compare with the baselines, report."""

import logging
import random
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from peftsearch.environment import environment
from peftsearch.files import write_json, write_text
from peftsearch.methods.manual.method import baseline_lora
from peftsearch.modules.costs import cost
from peftsearch.report.results import FrontEntry, LadderStep
from peftsearch.run.checks import check_cost, check_folder, check_is_search, check_services
from peftsearch.run.choose_recipe import choose_recipe
from peftsearch.run.config import RunConfig, read_config
from peftsearch.run.experiment import Experiment
from peftsearch.run.finish import finish
from peftsearch.run.folder import alone_in, make_run_folder, write_sites
from peftsearch.run.pareto import train_front
from peftsearch.run.proof import prove, score
from peftsearch.run.recipe import FreshModules, InheritedModules, Recipe
from peftsearch.run.results import Outcome, SearchPart, make_results
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.search import search_configuration
from peftsearch.run.search_request import SearchRequest
from peftsearch.run.search_result import SearchResult
from peftsearch.run.supernets import INHERITED
from peftsearch.run.train import TrainingRequest, train_over_seeds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingStage:
    """Trains and proves the recipes of one run.

    Args:
        experiment: gives data and model.
        folder: the run folder.
        seeds: one training each.
        rates: learning rates, of which each recipe gets its best on validation.
        budget: of every recipe, in parameters; None without one.
    """

    experiment: Experiment
    folder: Path
    seeds: range
    rates: tuple[float, ...]
    budget: int | None

    def train(self, recipe: Recipe, name: str) -> Outcome:
        """Train a recipe over the seeds in a folder of that name, and prove each result.

        Returns:
            the outcome; its configuration is that of the seed with the best validation score.
        """
        experiment, folder = self.experiment, self.folder / name
        trained = train_over_seeds(experiment, TrainingRequest(recipe, self.seeds, self.rates, self.budget), folder)
        saved = SavedModel.of(experiment, recipe.saved_as)
        places = [folder / f"seed-{result.seed}" for result in trained]
        proofs = [
            prove(saved, place, experiment, trained=result, budget=self.budget)
            for place, result in zip(places, trained, strict=True)
        ]
        found = [recipe.found(place / recipe.saved_as, experiment) for place in places]
        outcome = Outcome(found[0], trained, proofs)
        return replace(outcome, configuration=found[outcome.best(experiment.task.selection_metric)])


def run_search(config: RunConfig) -> Path:
    """Search a configuration, train it, prove it and compare it with uniform LoRA of at most the same budget.

    Returns:
        the run folder; see docs/run_folder.md.

    Raises:
        PeftSearchError: for the first thing that is wrong with settings, data, model or folder.
    """
    check_is_search(config)
    experiment = open_experiment(config)
    budget = min(experiment.usable_budgets().values())
    with alone_in(Path(config.output_folder)):
        return _search(config, experiment, budget)


def _search(config: RunConfig, experiment: Experiment, budget: int) -> Path:
    folder = _start(config, experiment)
    request = SearchRequest(config.method_name, config.method, config.inherit)
    found = search_configuration(experiment, request, folder)
    notes = (*_budget_notes(experiment), *found.notes)
    for note in notes:
        logger.warning(note)
    stage = _make_stage(config, experiment, folder, budget)
    recipe = _recipe_of(found, request, folder)
    outcome = stage.train(recipe, "training")
    baseline = _train_baseline(stage, budget) if config.baseline else None
    drawn = _train_random(stage, budget) if config.random_baseline else None
    part = SearchPart(
        space=config.space_name,
        seconds=found.seconds,
        steps=found.steps,
        baseline=baseline,
        random_baseline=drawn,
        notes=notes,
        ladder=_ladder(found, experiment),
        pareto=_train_front(stage, request.method) if config.pareto else (),
    )
    saved = SavedModel.of(experiment, recipe.saved_as)
    results = make_results(config, experiment, outcome, method=request.method, search=part, saved=saved)
    return finish(config, experiment, outcome, recipe=recipe, results=results)


def run_train(config: RunConfig) -> Path:
    """Train a configuration from a file, a run or a manual one by name; a budget, if given, is enforced.

    Returns:
        the run folder; see docs/run_folder.md.

    Raises:
        PeftSearchError: as in `run_search`.
    """
    experiment = open_experiment(config)
    recipe = choose_recipe(config.configuration or config.method_name, config.method, experiment)
    check_cost(recipe, experiment)
    for note in recipe.notes:
        logger.warning(note)
    with alone_in(Path(config.output_folder)):
        return _train(config, experiment, recipe)


def _train(config: RunConfig, experiment: Experiment, recipe: Recipe) -> Path:
    folder = _start(config, experiment)
    outcome = _make_stage(config, experiment, folder, experiment.smallest_budget).train(recipe, "training")
    write_text(folder / "configuration.json", outcome.configuration.to_json())
    part = SearchPart(notes=recipe.notes)
    saved = SavedModel.of(experiment, recipe.saved_as)
    results = make_results(config, experiment, outcome, method=recipe.name, search=part, saved=saved)
    return finish(config, experiment, outcome, recipe=recipe, results=results)


def run_evaluate(run: Path, split: str) -> dict[str, float]:
    """Score a run's saved result on one of its splits.

    Args:
        run: the run folder.
        split: "train", "validation" or "test".

    Returns:
        metric -> score in percent.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    model = load_run(run)
    experiment = Experiment.open(read_config(run / "config.yaml"))
    return score(model, experiment, getattr(experiment, split))


def load_run(run: Path) -> nn.Module:
    """The trained model of a finished run; the task's data is not needed.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    return SavedModel.read(run).load(run)[0]


def open_experiment(config: RunConfig) -> Experiment:
    """Load and check everything that can be checked before a file is written.

    Raises:
        PeftSearchError: for the first thing that is wrong.
    """
    check_folder(config)
    check_services(config)
    experiment = Experiment.open(config)
    experiment.check()
    return experiment


def _start(config: RunConfig, experiment: Experiment) -> Path:
    """Make the run folder, which is this process's alone, and write what the run was asked for."""
    folder = Path(config.output_folder)
    # Another process may have filled it since the first check.
    check_folder(config)
    make_run_folder(folder, resume=config.resume)
    write_text(folder / "config.yaml", config.to_yaml())
    write_json(folder / "environment.json", environment())
    write_sites(folder / "sites.json", experiment.sites)
    write_json(folder / "split.json", experiment.task.split_record())
    return folder


def _make_stage(config: RunConfig, experiment: Experiment, folder: Path, budget: int | None) -> TrainingStage:
    seeds = range(config.seed, config.seed + config.seeds)
    return TrainingStage(experiment, folder, seeds, tuple(config.learning_rates), budget)


def _recipe_of(found: SearchResult, request: SearchRequest, folder: Path) -> Recipe:
    """Fresh modules of the smallest budget's configuration, or those that the supernet hands down."""
    modules = found.configuration
    if request.inherit:
        return InheritedModules("train", request.method, configuration=modules, folder=folder / INHERITED)
    return FreshModules("train", request.method, configuration=modules)


def _budget_notes(experiment: Experiment) -> list[str]:
    """Say so where a budget is larger than the space."""
    return [
        f"The budget {text} ({experiment.budgets[text]:,} parameters) is larger than the whole space ({usable:,}); "
        "all of it can be used."
        for text, usable in experiment.usable_budgets().items()
        if usable < experiment.budgets[text]
    ]


def _ladder(found: SearchResult, experiment: Experiment) -> tuple[LadderStep, ...]:
    return tuple(
        LadderStep(budget, experiment.space.cost(configuration), len(configuration))
        for budget, configuration in sorted(found.configurations.items())
    )


def _train_baseline(stage: TrainingStage, budget: int) -> Outcome | None:
    sites = stage.experiment.sites
    configuration = baseline_lora(sites, budget)
    if configuration is None:
        logger.warning("The budget of %s parameters holds no LoRA module, so there is no LoRA baseline.", budget)
        return None
    logger.info("Baseline: uniform LoRA with %s parameters.", cost(configuration, sites))
    return stage.train(FreshModules("baseline", "lora", configuration=configuration), "baseline")


def _train_random(stage: TrainingStage, budget: int) -> Outcome:
    """Train one draw from the space within the budget: a search without searching."""
    experiment = stage.experiment
    encoding = experiment.make_encoding().within(budget)
    configuration = encoding.decode(encoding.sample(random.Random(f"{experiment.seed} baseline")))
    write_text(stage.folder / "random_baseline" / "configuration.json", configuration.to_json())
    return stage.train(FreshModules("random baseline", configuration=configuration), "random_baseline")


def _train_front(stage: TrainingStage, method: str) -> tuple[FrontEntry, ...]:
    largest = replace(stage, budget=max(stage.experiment.usable_budgets().values()))
    return train_front(stage.experiment, stage.folder, method=method, train=largest.train)
