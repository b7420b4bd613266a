"""The configurations that a search may hand over: its own, and the manual methods that are trained beside it."""

import logging
from collections.abc import Sequence
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
    searched: Candidate, by_hand: Sequence[Candidate], *, keep: str, experiment: Experiment
) -> tuple[Candidate, HandedOver | None]:
    """Choose the configuration that is handed over: the one with the best mean validation score.

    Args:
        searched: found by the search; of equals it is taken.
        by_hand: trained beside it, with the same seeds.
        keep: "better", or "searched" for that one whatever it scores.
        experiment: gives the metric that selects.

    Returns:
        the choice, and what is told about it; None where there was nothing to choose.
    """
    if not by_hand:
        return searched, None

    name = experiment.task.selection_metric
    metric, unit = METRICS[name], f"validation {in_words(name)}"

    def score(candidate: Candidate) -> float:
        return candidate.trained.validation(experiment).all[name]

    strongest = max(by_hand, key=lambda candidate: metric.merit(score(candidate)))
    own, other = (write_score(name, score(one)) for one in (searched, strongest))
    if keep == SEARCHED or not metric.is_better(score(strongest), than=score(searched)):
        asked = f" (--keep {SEARCHED})" if keep == SEARCHED else ""
        reason = (
            f"The searched configuration is handed over{asked}: {own} {unit} against {other} of {strongest.name}, the "
            "strongest baseline."
        )
        return searched, _describe(searched, reason, experiment)
    reason = (
        f"The baseline {strongest.name} is handed over: {other} {unit} against {own} of the searched configuration, "
        f"which --keep {SEARCHED} hands over."
    )
    return strongest, _describe(strongest, reason, experiment)


def _describe(candidate: Candidate, reason: str, experiment: Experiment) -> HandedOver:
    trained = candidate.trained
    return HandedOver(
        name=candidate.name,
        reason=reason,
        folder=candidate.folder,
        modules_by_kind=trained.configuration.num_modules_by_kind(),
        **trained.measured(experiment),
    )
