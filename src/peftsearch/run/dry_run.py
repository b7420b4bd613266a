"""`--dry_run`: do every check of a run that comes before its first step, and describe the run."""

from peftsearch.run.checks import check_baselines, check_cost, check_is_search, check_trains_modules
from peftsearch.run.choose_recipe import recipe_of
from peftsearch.run.config import RunConfig
from peftsearch.run.described_labels import describe_labels
from peftsearch.run.experiment import Experiment
from peftsearch.run.ladder import describe_ladder
from peftsearch.run.model_notes import head_notes, site_notes
from peftsearch.run.outlook import describe_found, describe_trained
from peftsearch.run.pipeline import budget_notes, open_experiment
from peftsearch.run.race_search import describe_race
from peftsearch.run.rate_choice import choose_rates
from peftsearch.run.search_request import SearchRequest
from peftsearch.searches.method import METHODS, Driver
from peftsearch.tasks.class_weights import describe_weights


def describe_search(config: RunConfig) -> str:
    """Describe a search in a few lines: task, model, space, budgets, output, and what its result can be exported as.

    Raises:
        PeftSearchError: as the search would.
    """
    check_is_search(config)
    experiment = open_experiment(config)
    check_baselines(config, experiment)
    rates = (
        f"{experiment.search_training.rate:g} in the search; trainings: {choose_rates(config, experiment).describe()}"
    )
    lines = [
        _describe(config, experiment),
        f"rate      {rates}",
        f"baselines {', '.join(config.baseline_names) or 'none'}",
    ]
    if METHODS[config.method_name].driver is Driver.RACE:
        lines.append(f"race      {describe_race(experiment, SearchRequest(config.method_name, config.method))}")
    if trainings := describe_ladder(config, experiment):
        lines.append(f"trains    {trainings}")
    return "\n".join([*lines, f"result    {describe_found(config, experiment)}", *head_notes(experiment)])


def describe_train(config: RunConfig) -> str:
    """Describe a training in a few lines: as `describe_search`, and what is trained.

    Raises:
        PeftSearchError: as the training would.
    """
    experiment = open_experiment(config)
    recipe = recipe_of(config, experiment)
    check_trains_modules(recipe, experiment)
    check_cost(recipe, experiment)
    parameters = recipe.num_parameters(experiment)
    lines = [
        _describe(config, experiment),
        f"rate      {choose_rates(config, experiment).describe()}",
        f"trains    {recipe.name}: {parameters:,} parameters",
        f"result    {describe_trained(recipe, experiment)}",
        *head_notes(experiment),
    ]
    return "\n".join(lines)


def _describe(config: RunConfig, experiment: Experiment) -> str:
    space, task = experiment.space, experiment.task
    sizes = {name: len(examples) for name, examples in task.splits.items()}
    backbone, head = experiment.backbone_parameters, experiment.sketch.head_parameters
    weights, budgets = experiment.task_format.class_weights, experiment.usable_budgets()
    beside = " beside the rows of tokens" if experiment.token_rows else ""
    lines = [
        f"task      {task.name}: {sizes}, metric {task.reported_metric}",
        f"labels    {describe_labels(experiment.task, experiment.task_format)}",
        *([f"weights   {describe_weights(task.labels, weights)}"] if weights else []),
        f"model     {config.model}: {backbone:,} parameters, head {head:,}",
        f"space     {config.space_name}: {len(space.ranks)} modules, {space.cost(space.largest):,} parameters",
        *([f"tokens    {rows.described}"] if (rows := experiment.token_rows) else []),
        *(f"budget    {text}: {parameters:,} parameters{beside}" for text, parameters in budgets.items()),
        f"output    {config.output_folder}",
        *(f"note      {note}" for note in (*site_notes(experiment), *budget_notes(experiment))),
    ]
    return "\n".join(lines)
