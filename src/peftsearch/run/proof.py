"""Prove a saved result: reload it from disk, count it against the budget and score it."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from peftsearch.errors import BudgetError, TrainingError
from peftsearch.report.wording import write_score
from peftsearch.run.experiment import Experiment
from peftsearch.run.saved_model import SavedModel
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.training.evaluation import evaluate
from peftsearch.training.fine_tuning import TrainingResult

# Largest difference of a score, in points or percent, between the trained model and the one reloaded from disk.
SCORE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Proof:
    """Size and scores of a saved result, after reloading it from disk.

    Args:
        parameters: trained parameters, task head excluded.
        validation: metrics on the validation split.
        test: metrics on the test split, computed here and nowhere else.
    """

    parameters: int
    validation: dict[str, float]
    test: dict[str, float]


def prove(
    saved: SavedModel, folder: Path, experiment: Experiment, *, trained: TrainingResult, budget: int | None
) -> Proof:
    """Reload a saved result, count it against the budget and score it.

    Args:
        saved: how to load it.
        folder: of the training.
        experiment: gives data and metrics.
        trained: the scores that the training saw.
        budget: in parameters; None without one.

    Raises:
        BudgetError: if it has more parameters than the budget.
        TrainingError: if its validation score is not the one that training saw.
    """
    model, parameters = saved.load(folder)
    if budget is not None and parameters > budget:
        raise BudgetError(f"The adapter in '{folder}' has {parameters:,} parameters, above the budget of {budget:,}.")
    validation = score(model, experiment, experiment.validation)
    metric = experiment.task.selection_metric
    found, before = validation[metric], trained.validation[metric]
    if not abs(found - before) <= METRICS[metric].tolerance(before, percent=SCORE_TOLERANCE):
        raise TrainingError(
            f"The adapter in '{folder}' scores {write_score(metric, found)} {metric} after reloading, but scored "
            f"{write_score(metric, before)} in training. The saved files do not hold the trained model."
        )
    return Proof(parameters, validation, score(model, experiment, experiment.test))


def score(model: nn.Module, experiment: Experiment, split: EncodedSplit) -> dict[str, float]:
    """Compute every metric of the task on a split, in percent or in the unit of the labels."""
    batch_size = experiment.training.per_device_eval_batch_size
    return evaluate(model, experiment.task_format, split.examples, split.encoded, batch_size=batch_size)
