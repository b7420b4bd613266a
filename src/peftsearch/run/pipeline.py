"""From a run's settings to its folder: search, train, prove, compare with the baseline, report."""

import json
import logging
import random
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from peftsearch.environment import environment
from peftsearch.errors import BudgetError, ConfigurationError, RunFolderError
from peftsearch.files import new_folder, write_json, write_text
from peftsearch.methods.manual.method import baseline_lora, cost
from peftsearch.report.model_card import write_card
from peftsearch.report.run.html import write_page_of
from peftsearch.report.run.record import collect
from peftsearch.report.verdict import verdict
from peftsearch.run.attachment import FreshModules, InheritedModules
from peftsearch.run.config import RunConfig, check_same_run, read_config
from peftsearch.run.export import export_lora_beside
from peftsearch.run.folder import alone_in, check_run_folder, make_run_folder, write_sites
from peftsearch.run.hub import check_push, push_if_asked
from peftsearch.run.pareto import train_front
from peftsearch.run.recipe import Recipe, choose_recipe
from peftsearch.run.results import Outcome, SearchPart, make_results
from peftsearch.run.search import search_configuration
from peftsearch.run.train import SavedRun, prove, score, train_over_seeds
from peftsearch.run.verify import verify
from peftsearch.run.workspace import Scope, Workspace
from peftsearch.searches.method import METHODS
from peftsearch.training.trackers import check_tracker

logger = logging.getLogger(__name__)


def run_search(config: RunConfig) -> Path:
    """Search a configuration, train it, prove it and compare it with uniform LoRA of at most the same budget.

    Returns:
        the run folder; see docs/run_folder.md.
    """
    _check_is_search(config)
    workspace, scope = _open(config)
    budget = min(scope.usable_budgets().values())
    with alone_in(Path(config.output_folder)):
        return _search(workspace, scope, budget)


def _check_is_search(config: RunConfig) -> None:
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


def _search(workspace: Workspace, scope: Scope, budget: int) -> Path:
    config = workspace.config
    folder = _start(workspace, scope)
    found = search_configuration(workspace, scope, folder)
    notes = _budget_notes(scope) + list(found.notes)
    for note in notes:
        logger.warning(note)
    modules = found.configuration
    attachment = InheritedModules(modules, found.inherited) if found.inherited else FreshModules(modules)
    recipe = Recipe("train", attachment, method=config.method_name)
    outcome = _train_and_prove(workspace, scope, recipe, folder / "training", budget=budget)
    baseline = _train_baseline(workspace, scope, folder, budget) if config.baseline else None
    drawn = _train_random(workspace, scope, folder, budget) if config.random_baseline else None
    front = _train_front(workspace, scope, folder) if config.pareto else []
    ladder = tuple(
        {"budget": budget, "parameters": scope.space.cost(configuration), "modules": len(configuration)}
        for budget, configuration in sorted(found.configurations.items())
    )
    part = SearchPart(
        space=config.space_name,
        seconds=found.seconds,
        steps=found.steps,
        baseline=baseline,
        random_baseline=drawn,
        notes=tuple(notes),
        ladder=ladder,
        pareto=tuple(front),
    )
    results = make_results(workspace, scope, outcome, method=config.method_name, search=part)
    return _finish(workspace, outcome, recipe, folder, results)


def run_train(config: RunConfig) -> Path:
    """Train a configuration from a file, a run or a manual one by name; a budget, if given, is enforced."""
    workspace, scope = _open(config)
    recipe = choose_recipe(config, scope)
    budget = min(scope.budgets.values(), default=None)
    _check_cost(recipe, scope, budget)
    for note in recipe.notes:
        logger.warning(note)
    with alone_in(Path(config.output_folder)):
        return _train(workspace, scope, recipe, budget)


def _train(workspace: Workspace, scope: Scope, recipe: Recipe, budget: int | None) -> Path:
    folder = _start(workspace, scope)
    outcome = _train_and_prove(workspace, scope, recipe, folder / "training", budget=budget)
    write_text(folder / "configuration.json", outcome.configuration.to_json())
    results = make_results(workspace, scope, outcome, method=recipe.name, search=SearchPart(notes=recipe.notes))
    return _finish(workspace, outcome, recipe, folder, results)


def _check_cost(recipe: Recipe, scope: Scope, budget: int | None) -> None:
    parameters = recipe.attachment.num_parameters(scope)
    if budget is not None and parameters > budget:
        hint = ", or lower --rank" if recipe.name in METHODS else "; a search on this model finds one within it"
        raise BudgetError(
            f"The configuration has {parameters:,} parameters, above the budget of {budget:,}. "
            f"Raise --budget, leave it out{hint}."
        )


def run_evaluate(run: Path, split: str) -> dict[str, float]:
    """Score a run's saved result on one of its splits.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    model = load_run(run)
    workspace = Workspace.open(read_config(run / "config.yaml"))
    return score(workspace, model, getattr(workspace, split), workspace.config.training)


def load_run(run: Path) -> nn.Module:
    """The trained model of a finished run; the task's data is not needed.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    return SavedRun.read(run).load(run)[0]


def describe_search(config: RunConfig) -> str:
    """What a search would do, after everything has been checked that can be before the first step."""
    _check_is_search(config)
    workspace, scope = _open(config)
    return _describe(workspace, scope)


def describe_train(config: RunConfig) -> str:
    """What a training would do, after everything has been checked that can be before the first step."""
    workspace, scope = _open(config)
    recipe = choose_recipe(config, scope)
    _check_cost(recipe, scope, min(scope.budgets.values(), default=None))
    parameters = recipe.attachment.num_parameters(scope)
    return f"{_describe(workspace, scope)}\ntrains    {recipe.name}: {parameters:,} parameters"


def _describe(workspace: Workspace, scope: Scope) -> str:
    config = workspace.config
    space, sizes = scope.space, {name: len(examples) for name, examples in workspace.task.splits.items()}
    lines = [
        f"task      {workspace.task.name}: {sizes}, metric {workspace.task.reported_metric}",
        f"model     {config.model}: {scope.backbone_parameters:,} parameters, head {scope.head_parameters:,}",
        f"space     {config.space_name}: {len(space.ranks)} modules, {space.cost(space.largest):,} parameters",
        *(f"budget    {text}: {parameters:,} parameters" for text, parameters in scope.usable_budgets().items()),
        f"output    {config.output_folder}",
    ]
    return "\n".join(lines)


def _open(config: RunConfig) -> tuple[Workspace, Scope]:
    """Load and check everything that can be checked before a file is written."""
    _check_folder(config)
    _check_services(config)
    workspace = Workspace.open(config)
    scope = Scope.of(workspace.fresh_model(config.seed), preset=config.preset, budget=config.budget)
    return workspace, scope


def _check_folder(config: RunConfig) -> None:
    """Check that the run may write to its folder, and is the one in it if it goes on."""
    folder = Path(config.output_folder)
    check_run_folder(folder, resume=config.resume, overwrite=config.overwrite)
    if config.resume and (folder / "config.yaml").exists():
        check_same_run(config, read_config(folder / "config.yaml"))


def _check_services(config: RunConfig) -> None:
    """Check what a run reports to and is pushed to."""
    check_tracker(config.training.report_to)
    check_push(config)


def _start(workspace: Workspace, scope: Scope) -> Path:
    """Make the run folder, which is this process's alone, and write what the run was asked for."""
    config = workspace.config
    folder = Path(config.output_folder)
    # Another process may have filled it since the first check.
    _check_folder(config)
    make_run_folder(folder, resume=config.resume)
    write_text(folder / "config.yaml", config.to_yaml())
    write_json(folder / "environment.json", environment())
    write_sites(folder / "sites.json", scope.sites)
    write_json(folder / "split.json", workspace.task.split_record())
    return folder


def _budget_notes(scope: Scope) -> list[str]:
    """Say so where a budget is larger than the space."""
    return [
        f"The budget {text} ({scope.budgets[text]:,} parameters) is larger than the whole space ({usable:,}); "
        "all of it can be used."
        for text, usable in scope.usable_budgets().items()
        if usable < scope.budgets[text]
    ]


def _train_and_prove(
    workspace: Workspace, scope: Scope, recipe: Recipe, folder: Path, *, budget: int | None
) -> Outcome:
    """Train over seeds in a folder; the configuration is that of the seed with the best validation score."""
    runs = train_over_seeds(workspace, replace(recipe, budget=budget), folder)
    proofs = [prove(workspace, recipe, folder / f"seed-{run.seed}", run=run, budget=budget) for run in runs]
    found = [recipe.attachment.found(folder / f"seed-{run.seed}" / recipe.attachment.saved_as, scope) for run in runs]
    outcome = Outcome(found[0], runs, proofs)
    return replace(outcome, configuration=found[outcome.best(workspace.task.selection_metric)])


def _train_baseline(workspace: Workspace, scope: Scope, folder: Path, budget: int) -> Outcome | None:
    configuration = baseline_lora(scope.sites, budget)
    if configuration is None:
        logger.warning("The budget of %s parameters holds no LoRA module, so there is no LoRA baseline.", budget)
        return None
    logger.info("Baseline: uniform LoRA with %s parameters.", cost(configuration, scope.sites))
    recipe = Recipe("baseline", FreshModules(configuration), method="lora")
    return _train_and_prove(workspace, scope, recipe, folder / "baseline", budget=budget)


def _train_random(workspace: Workspace, scope: Scope, folder: Path, budget: int) -> Outcome:
    """Train one draw from the space within the budget: what is left of a search without searching."""
    encoding = scope.make_encoding().within(budget)
    configuration = encoding.decode(encoding.sample(random.Random(f"{workspace.config.seed} baseline")))
    write_text(folder / "random_baseline" / "configuration.json", configuration.to_json())
    recipe = Recipe("random baseline", FreshModules(configuration))
    return _train_and_prove(workspace, scope, recipe, folder / "random_baseline", budget=budget)


def _train_front(workspace: Workspace, scope: Scope, folder: Path) -> list[dict[str, Any]]:
    budget = max(scope.usable_budgets().values())
    return train_front(
        workspace,
        folder,
        train=lambda recipe, name: _train_and_prove(workspace, scope, recipe, folder / name, budget=budget),
    )


def _finish(workspace: Workspace, outcome: Outcome, recipe: Recipe, folder: Path, results: dict[str, Any]) -> Path:
    """Put the best seed's result where users look for it, check it there, then write the results and the report."""
    best = outcome.best(workspace.task.selection_metric)
    source = folder / "training" / f"seed-{outcome.runs[best].seed}" / recipe.attachment.saved_as
    if not source.is_dir():
        raise RunFolderError(f"'{source}' is missing. Train again with --overwrite.")
    target = folder / recipe.attachment.saved_as
    with new_folder(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True)
    saved = SavedRun.of(workspace, recipe)
    results |= {"verdict": verdict(results), "saved": asdict(saved), "verified": None}
    if workspace.config.verify:
        results["verified"] = verify(saved, folder, outcome.proofs[best])
    refused = export_lora_beside(saved, folder)
    results["notes"] += [f"lora/ was not written. {refused}"] if refused else []
    record = replace(collect(folder), results=json.loads(json.dumps(results)))
    write_card(record, target)
    write_page_of(record)
    # Last: whoever finds it finds everything else.
    write_json(folder / "results.json", results)
    push_if_asked(workspace.config, folder)
    return folder
