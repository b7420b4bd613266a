"""The ladder of a search with several budgets: every step trained and proven within its own budget."""

from collections.abc import Callable
from dataclasses import replace

from peftsearch.report.one_standard_error import choose_step
from peftsearch.report.result_parts import LadderStep, UniformBaseline
from peftsearch.report.results import Results
from peftsearch.report.wording import count
from peftsearch.run.config import RunConfig
from peftsearch.run.experiment import Experiment
from peftsearch.run.recipe import found_modules
from peftsearch.run.search_result import SearchResult, start_folder, step_folder
from peftsearch.run.train import TrainingStage
from peftsearch.space import Configuration

# Trains uniform LoRA within the budget of a stage, in the folder of that name within the run folder.
TrainBaseline = Callable[[TrainingStage, str], UniformBaseline | None]


def describe_ladder(config: RunConfig, experiment: Experiment) -> str:
    """The number of trainings that follow the search, before it costs anything; empty for a single budget."""
    num_budgets = len(set(experiment.usable_budgets().values()))
    if num_budgets < 2:
        return ""
    total = count(num_budgets * config.seeds * (1 + config.has_uniform_lora), "training")
    beside = " and uniform LoRA beside it" if config.has_uniform_lora else ""
    return f"{total}: the configuration of each of {num_budgets} budgets{beside}, with {count(config.seeds, 'seed')}"


def add_ladder(
    results: Results,
    stage: TrainingStage,
    found: SearchResult,
    *,
    train_baseline: TrainBaseline | None,
    inherits_head: bool,
) -> Results:
    """Train the configurations of the larger budgets, and add all steps and the choice among them to the results.

    Args:
        results: of the smallest budget, with its baseline.
        stage: trains; each step gets its own budget.
        found: by the search.
        train_baseline: trains uniform LoRA beside each step; None for no baseline.
        inherits_head: whether trainings go on from the task head of the search too, where it hands weights down.
    """
    smallest, *larger = sorted(found.configurations.items())
    trained = [
        _train_step(
            replace(stage, budget=budget),
            configuration,
            results.method,
            train_baseline,
            inherits_head=inherits_head,
        )
        for budget, configuration in larger
    ]
    ladder = (_smallest_step(results, stage.experiment.granted(smallest[0])), *trained)
    choice = choose_step(ladder, num_examples=results.split.sizes["validation"])
    return replace(results, ladder=ladder, ladder_choice=choice)


def _smallest_step(results: Results, budget: int) -> LadderStep:
    """The step that is the run's main result."""
    return LadderStep(
        budget=budget,
        parameters=results.parameters,
        modules=results.modules,
        folder="training",
        learning_rate=results.learning_rate,
        validation=results.validation,
        test=results.test,
        baseline=results.baseline,
    )


def _train_step(
    stage: TrainingStage,
    configuration: Configuration,
    method: str,
    train_baseline: TrainBaseline | None,
    *,
    inherits_head: bool,
) -> LadderStep:
    budget, experiment = stage.budget, stage.experiment
    assert budget is not None
    folder = step_folder(budget)
    start = stage.folder / start_folder(budget, smallest=0)
    trained = stage.train(
        found_modules(configuration, start, inherits_head=inherits_head, name=folder, method=method), folder
    )
    return LadderStep(
        budget=experiment.granted(budget),
        folder=folder,
        **trained.measured(experiment),
        baseline=train_baseline(stage, f"{folder}/baseline") if train_baseline else None,
    )
