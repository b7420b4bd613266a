"""Make the document of `results.json` from the stages of a run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from peftsearch.environment import versions
from peftsearch.methods.manual.manual_methods import UNIFORM_LORA
from peftsearch.models.location import hub_id_of
from peftsearch.report.document import read_as
from peftsearch.report.result_parts import (
    GrantedBudget,
    HandBaseline,
    RandomBaseline,
    SplitRecord,
    UniformBaseline,
    WallTime,
)
from peftsearch.report.results import Results
from peftsearch.run.candidates import Candidate
from peftsearch.run.command import command_of
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.model_notes import head_notes
from peftsearch.run.recipe import ADAPTER, Recipe
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.search_result import SearchResult
from peftsearch.run.train import TrainedConfiguration


def make_results(config: RunConfig, experiment: Experiment, trained: TrainedConfiguration, recipe: Recipe) -> Results:
    """Results of a run that trains a given configuration.

    `add_search` adds what a search has more, and the end of the run the verdict and the check in a new process.

    Args:
        config: settings of the run.
        experiment: gives task, sites and budgets.
        trained: the outcome of the recipe.
        recipe: names the method and has the notes.
    """
    task = experiment.task
    return Results(
        method=recipe.method or recipe.name,
        space=None,
        seed=config.seed,
        seeds=config.seeds,
        command=command_of("train", config),
        model=config.model,
        base_model=hub_id_of(config.model),
        task=task.name,
        labels=tuple(task.labels),
        split=read_as(SplitRecord, task.split_record()),
        backbone_parameters=experiment.backbone_parameters,
        budget=_granted(experiment),
        parameters=trained.parameters,
        head_parameters=experiment.sketch.head_parameters,
        token_parameters=experiment.token_rows.num_parameters if recipe.saved_as == ADAPTER else 0,
        modules=len(trained.configuration),
        modules_by_kind=trained.configuration.num_modules_by_kind(),
        metric=task.reported_metric,
        selection_metric=task.selection_metric,
        validation=trained.validation(experiment),
        validation_loss=trained.validation_loss,
        test=trained.test(experiment),
        learning_rate=trained.runs[0].learning_rate,
        seconds=WallTime(0.0, trained.seconds),
        search_steps=0,
        search_cost=None,
        baseline=None,
        truncated_examples=experiment.splits.num_truncated(),
        truncated_targets=experiment.splits.num_truncated_targets(),
        notes=(
            *experiment.splits.notes(),
            *head_notes(experiment),
            *recipe.notes,
            *trained.notes,
            *trained.memory_notes(config.training.per_device_train_batch_size),
        ),
        versions=versions(),
        saved=SavedModel.of(experiment, recipe.saved_as),
        head_probe=experiment.probed_heads.read(config.seed),
        rate_search=trained.rate_search,
        reading=experiment.reading,
    )


def add_search(
    results: Results, config: RunConfig, experiment: Experiment, found: SearchResult, trained: TrainedConfiguration
) -> Results:
    """Add the search whose configuration was trained: its space and its time.

    Args:
        results: of the training that followed.
        config: settings of the run.
        experiment: was searched.
        found: by the search.
        trained: its configuration.
    """
    return replace(
        results,
        space=config.space_name,
        command=command_of("search", config),
        seconds=replace(results.seconds, search=found.seconds),
        search_steps=found.steps,
        search_cost=found.seconds / trained.seconds_of_one,
        search_learning_rate=experiment.search_training.rate,
    )


def add_baselines(results: Results, experiment: Experiment, by_hand: Sequence[Candidate]) -> Results:
    """Add the manual methods that were trained beside a search, and what the user must know about them."""
    uniform = [describe_uniform(experiment, one.trained) for one in by_hand if one.recipe.name == UNIFORM_LORA]
    others = [_describe_hand(experiment, one) for one in by_hand if one.recipe.name != UNIFORM_LORA]
    found = [(*one.recipe.notes, *(f"{one.name}: {note}" for note in one.trained.notes)) for one in by_hand]
    notes = (*results.notes, *(note for each in found for note in each))
    return replace(results, baseline=next(iter(uniform), None), baselines=tuple(others), notes=notes)


def describe_uniform(experiment: Experiment, baseline: TrainedConfiguration) -> UniformBaseline:
    """Describe uniform LoRA after its training."""
    choices = list(baseline.configuration)
    roles = sorted({choice.site.rsplit(".", 1)[-1] for choice in choices})
    return UniformBaseline(
        "uniform LoRA", choices[0].rank, tuple(roles), **baseline.measured(experiment), **_cost_of(baseline)
    )


def _describe_hand(experiment: Experiment, one: Candidate) -> HandBaseline:
    trained, kinds = one.trained, one.trained.configuration.num_modules_by_kind()
    return HandBaseline(one.name, modules_by_kind=kinds, **trained.measured(experiment), **_cost_of(trained))


def describe_random(experiment: Experiment, baseline: TrainedConfiguration) -> RandomBaseline:
    """Describe a configuration that was drawn at random, after its training."""
    return RandomBaseline(**baseline.measured(experiment), **_cost_of(baseline))


def _cost_of(baseline: TrainedConfiguration) -> dict[str, Any]:
    return {"seconds": baseline.seconds, "rate_search": baseline.rate_search}


def _granted(experiment: Experiment) -> GrantedBudget | None:
    text = min(experiment.budgets, key=lambda text: experiment.budgets[text], default=None)
    return None if text is None else GrantedBudget(text, experiment.budgets[text])
