"""The configurations that a search may hand over: its own, and the manual methods that are trained beside it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from peftsearch.errors import BudgetError
from peftsearch.files import write_text
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS, UNIFORM_LORA
from peftsearch.report.result_parts import HandedOver
from peftsearch.report.results import SEARCHED
from peftsearch.report.wording import in_words, write_score
from peftsearch.run.choose_recipe import fill_budget
from peftsearch.run.experiment import Experiment
from peftsearch.run.recipe import Recipe
from peftsearch.run.train import TrainedConfiguration, TrainingStage
from peftsearch.tasks.metric_registry import METRICS

logger = logging.getLogger(__name__)

# The metric that decides unless the user names one.
LOSS = "loss"


@dataclass(frozen=True)
class Candidate:
    """A configuration with its trainings.

    Args:
        name: in results and reports.
        folder: of the trainings, within the run folder.
        recipe: says how results are saved.
        trained: every seed of the recipe.
    """

    name: str
    folder: str
    recipe: Recipe
    trained: TrainedConfiguration


def train_by_hand(stage: TrainingStage, method: str, *, folder: str) -> Candidate | None:
    """Train a manual method as large as a stage's budget holds.

    Args:
        stage: has a budget.
        method: its name.
        folder: for the trainings, within the run folder; its configuration is written there too.

    Returns:
        None if the budget holds no module of the method.
    """
    experiment, budget = stage.experiment, stage.budget
    assert budget is not None
    try:
        recipe = fill_budget(method, MANUAL_METHODS[method], sites=experiment.sites, budget=budget)
    except BudgetError as error:
        logger.warning("The baseline %s is left out. %s", method, error)
        return None
    logger.info("Baseline: %s with %s parameters.", method, recipe.num_parameters(experiment))
    write_text(stage.folder / folder / "configuration.json", recipe.configuration.to_json())
    trained = stage.train(replace(recipe, name=folder, method=method), folder)
    return Candidate("uniform LoRA" if method == UNIFORM_LORA else method, folder, recipe, trained)


def baseline_folder(method: str) -> str:
    """The folder for the trainings of a manual method beside a search, within the run folder."""
    return "baseline" if method == UNIFORM_LORA else f"baselines/{method}"


def hand_over(
    searched: Candidate, by_hand: Sequence[Candidate], *, keep: str, experiment: Experiment, metric: str = LOSS
) -> tuple[Candidate, HandedOver | None]:
    """Choose the configuration that is handed over: the better one on validation, by the mean over the seeds.

    Args:
        searched: found by the search; of equals it is taken.
        by_hand: trained beside it, with the same seeds.
        keep: "better", or "searched" for that one whatever it scores.
        experiment: gives the metric that selects epochs, which is told beside the loss.
        metric: that decides; the loss tells configurations apart better than scores do (docs/results.md).

    Returns:
        the choice, and what is told about it; None where there was nothing to choose.
    """
    if not by_hand:
        return searched, None

    means = {one.name: _means(one, experiment) for one in (searched, *by_hand)}
    selects = experiment.task.selection_metric
    if any(metric not in each for each in means.values()):
        metric = selects
    judge = METRICS[metric]
    strongest = max(by_hand, key=lambda one: judge.merit(means[one.name][metric]))
    own, other = (_told(means[one.name], (metric, selects)) for one in (searched, strongest))
    if keep == SEARCHED or not judge.is_better(means[strongest.name][metric], than=means[searched.name][metric]):
        asked = f" (--keep {SEARCHED})" if keep == SEARCHED else ""
        reason = (
            f"The searched configuration is handed over{asked}: {own} on validation, against {other} of "
            f"{strongest.name}, the strongest baseline."
        )
        return searched, _describe(searched, reason, experiment)
    reason = (
        f"The baseline {strongest.name} is handed over: {other} on validation, against {own} of the searched "
        f"configuration, which --keep {SEARCHED} hands over."
    )
    return strongest, _describe(strongest, reason, experiment)


def _means(candidate: Candidate, experiment: Experiment) -> dict[str, float]:
    """Every metric on validation, and the loss where it is known."""
    loss = candidate.trained.validation_loss
    return ({} if loss is None else {LOSS: loss}) | candidate.trained.validation(experiment).all


def _told(means: Mapping[str, float], metrics: Iterable[str]) -> str:
    """Some means in words, such as "loss 0.412 and accuracy 84.60"."""
    return " and ".join(f"{in_words(name)} {write_score(name, means[name])}" for name in dict.fromkeys(metrics))


def _describe(candidate: Candidate, reason: str, experiment: Experiment) -> HandedOver:
    trained = candidate.trained
    return HandedOver(
        name=candidate.name,
        reason=reason,
        folder=candidate.folder,
        modules_by_kind=trained.configuration.num_modules_by_kind(),
        **trained.measured(experiment),
    )
