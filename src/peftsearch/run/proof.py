"""Prove a saved result: reload it from disk, count it against the budget and score it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from peftsearch.errors import BudgetError, TrainingError
from peftsearch.report.wording import write_score
from peftsearch.run.experiment import Experiment
from peftsearch.run.saved_model import SavedModel
from peftsearch.tasks.constant import describe_constant
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.tag_scores import EntityScore, score_entities
from peftsearch.tasks.task import Goal
from peftsearch.training.evaluation import Evaluation, evaluate_for, predict, score_written
from peftsearch.training.fine_tuning import TrainingResult

logger = logging.getLogger(__name__)

# Largest difference of a score, in points or percent, between the trained model and the one reloaded from disk.
SCORE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Proof:
    """Size and scores of a saved result, after reloading it from disk.

    Args:
        parameters: trained parameters with the rows of tokens, task head excluded.
        validation: metrics on the validation split, of which those of written texts only where one of them selects.
        test: metrics on the test split, computed here and nowhere else.
        notes: sentences for the user about the predictions.
        by_entity: of tags that mark spans, type -> its scores on the test split; empty for other tasks.
        errors: where the predictions of the test split are wrong.
        threshold: least probability that gives one of several labels, chosen on the validation split; None for others.
    """

    parameters: int
    validation: dict[str, float]
    test: dict[str, float]
    notes: tuple[str, ...] = ()
    by_entity: Mapping[str, EntityScore] = field(default_factory=dict)
    errors: ErrorReport = field(default_factory=ErrorReport)
    threshold: float | None = None


def prove(
    saved: SavedModel, folder: Path, experiment: Experiment, *, trained: TrainingResult, budget: int | None
) -> Proof:
    """Reload a saved result, count it against the budget and score it.

    Args:
        saved: how to load it.
        folder: of the training.
        experiment: gives data and metrics.
        trained: the scores that the training saw.
        budget: of the modules, in parameters; None without one.

    Raises:
        BudgetError: if it has more parameters than the budget.
        TrainingError: if its validation score is not the one that training saw.
    """
    model, parameters = saved.load(folder)
    granted = None if budget is None else experiment.granted(budget)
    if granted is not None and parameters > granted:
        raise BudgetError(f"The adapter in '{folder}' has {parameters:,} parameters, above the budget of {granted:,}.")
    fitted = _validate(model, experiment)
    validation = fitted.metrics
    metric = experiment.task.selection_metric
    found, before = validation[metric], trained.validation[metric]
    if not abs(found - before) <= METRICS[metric].tolerance(before, percent=SCORE_TOLERANCE):
        raise TrainingError(
            f"The adapter in '{folder}' scores {write_score(metric, found)} {metric} after reloading, but scored "
            f"{write_score(metric, before)} in training. The saved files do not hold the trained model."
        )
    test = _Scored.of(model, experiment, "test", threshold=fitted.threshold)
    task_format = experiment.task_format.of_saved_models().at_threshold(fitted.threshold)
    errors = task_format.describe_errors(test.predictions, experiment.splits.test.examples)
    return Proof(parameters, validation, test.metrics, test.notes, test.by_entity, errors, fitted.threshold)


def score_validation(model: nn.Module, experiment: Experiment) -> dict[str, float]:
    """Compute on the validation split the metric that selects, and all others that take no longer.

    Args:
        model: as it was saved.
        experiment: gives data and metrics.
    """
    return _validate(model, experiment).metrics


def _validate(model: nn.Module, experiment: Experiment) -> Evaluation:
    metric, task_format = experiment.task.selection_metric, experiment.task_format.of_saved_models()
    batch_size = experiment.training.per_device_eval_batch_size
    return evaluate_for(metric, model, task_format, experiment.splits.validation, batch_size=batch_size)


def score(model: nn.Module, experiment: Experiment, split: str, *, threshold: float | None) -> dict[str, float]:
    """Compute every metric of the task on a split, in percent or in the unit of the labels, and log what is odd.

    Args:
        model: as it was saved.
        experiment: gives data and metrics.
        split: "train", "validation" or "test".
        threshold: of several labels, as the run noted it; None for other tasks.
    """
    found = _Scored.of(model, experiment, split, threshold=threshold)
    for note in found.notes:
        logger.warning(note)
    return found.metrics


@dataclass(frozen=True)
class _Scored:
    """Metrics and predictions of a saved model on a split, sentences about them for the user, and scores by entity."""

    metrics: dict[str, float]
    predictions: Sequence
    notes: tuple[str, ...] = ()
    by_entity: Mapping[str, EntityScore] = field(default_factory=dict)

    @classmethod
    def of(cls, model: nn.Module, experiment: Experiment, split: str, *, threshold: float | None) -> "_Scored":
        task_format = experiment.task_format.of_saved_models().at_threshold(threshold)
        data: EncodedSplit = getattr(experiment.splits, split)
        batch_size = experiment.training.per_device_eval_batch_size
        predictions = predict(model, task_format, data.encoded, batch_size=batch_size)
        metrics = task_format.score(predictions, data.examples)
        metrics |= score_written(model, task_format, data.examples, batch_size=batch_size)
        if experiment.task.goal is Goal.TAGS:
            by_entity = score_entities(predictions, data.examples, experiment.task.labels)
            return cls(metrics, predictions, by_entity=by_entity)
        if experiment.task.goal is not Goal.REGRESSION:
            return cls(metrics, predictions)
        note = describe_constant(predictions, [example.number for example in data.examples], what=split)
        return cls(metrics, predictions, (note,) if note else ())
