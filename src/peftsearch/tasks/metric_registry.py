"""The registry of metrics: which tasks they fit, how they are named, and which of two values is the better one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from peftsearch.errors import DataError, DivergedError
from peftsearch.tasks import generation_scores, label_set_scores, metrics, tag_scores, token_scores
from peftsearch.tasks.metrics import MetricInputs
from peftsearch.tasks.task import NEXT_TOKENS, Example, Goal, Task

_CLASSES, _NUMBERS, _ANSWERS, _TAGS = (Goal.CLASSIFICATION,), (Goal.REGRESSION,), (Goal.ANSWER,), (Goal.TAGS,)
_LABELS, _SPANS = (Goal.LABELS,), (Goal.SPANS,)
_TOKENS, _WRITTEN = (*NEXT_TOKENS, Goal.TEXT), (Goal.TEXT, Goal.INSTRUCTIONS, Goal.CHATS)


@dataclass(frozen=True)
class Metric:
    """A metric of the registry. Whatever compares two of its values asks here which one is better.

    Args:
        name: in settings and files.
        title: in tables.
        goals: of the tasks that it fits.
        compute: its value, in percent or in the unit of the labels.
        num_classes: that a task must have; 0 for any number.
        needs_every_class: whether it is defined only where every class has an example.
        needs_spans: whether it is defined only for tags that mark spans, as BIO's do.
        needs_texts: whether the model must write a text for every row, which takes much longer than a loss.
        is_in_percent: whether 100 is perfect; else it is in the unit of the labels or of a loss, and the lower the
            better.
        lowest: that a metric can be of which lower is better.
        is_offered: whether `--metric` takes it.
    """

    name: str
    title: str
    goals: tuple[Goal, ...]
    compute: Callable[[MetricInputs], float]
    num_classes: int = 0
    needs_every_class: bool = False
    needs_spans: bool = False
    needs_texts: bool = False
    is_in_percent: bool = True
    lowest: float = 0.0
    is_offered: bool = True

    @property
    def lower_is_better(self) -> bool:
        """Whether the smaller of two values is the better one, as it is for errors in the unit of the labels."""
        return not self.is_in_percent

    @property
    def perfect(self) -> float:
        """The value of predictions without a mistake."""
        return 100.0 if self.is_in_percent else self.lowest

    def merit(self, value: float) -> float:
        """The value as a number of which the larger is better: with its sign changed where lower is better."""
        return -value if self.lower_is_better else value

    def is_better(self, value: float, than: float) -> bool:
        """Whether a value is better than another, and not equal."""
        return self.merit(value) > self.merit(than)

    def gain(self, value: float, over: float) -> float:
        """By how much a value is better than another; below 0 where it is worse."""
        return self.merit(value) - self.merit(over)

    def tolerance(self, value: float, *, percent: float) -> float:
        """A difference so many points wide, or as large a share of an error in the unit of the labels."""
        return percent if self.is_in_percent else percent / 100 * abs(value)

    def decimals(self, value: float) -> int:
        """Digits after the point with which a value is written: two, or four significant ones of an error."""
        if self.is_in_percent or not value or not math.isfinite(value):
            return 2
        return max(0, 3 - math.floor(math.log10(abs(value))))


def _paired(function: Callable[[Sequence, Sequence], float]) -> Callable[[MetricInputs], float]:
    """A metric that reads predictions and targets alone."""
    return lambda inputs: function(inputs.predictions, inputs.targets)


def _predicted(function: Callable[[Sequence], float]) -> Callable[[MetricInputs], float]:
    """A metric that reads predictions that know how good they are."""
    return lambda inputs: function(inputs.predictions)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", _CLASSES, _paired(metrics.accuracy)),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            _CLASSES,
            _paired(metrics.balanced_accuracy),
        ),
        Metric(
            "macro_f1",
            "macro F1",
            _CLASSES,
            lambda inputs: metrics.macro_f1(inputs.predictions, inputs.targets),
        ),
        Metric("f1", "F1", _CLASSES, _paired(metrics.f1), num_classes=2),
        Metric(
            "roc_auc",
            "ROC AUC",
            _CLASSES,
            lambda inputs: metrics.roc_auc(inputs.probabilities, inputs.targets),
            needs_every_class=True,
        ),
        Metric(
            "matthews_correlation",
            "Matthews correlation",
            _CLASSES,
            _paired(metrics.matthews_correlation),
        ),
        Metric("pearson", "Pearson", _NUMBERS, _paired(metrics.pearson)),
        Metric("spearman", "Spearman", _NUMBERS, _paired(metrics.spearman)),
        Metric("r2", "R²", _NUMBERS, _paired(metrics.r2)),
        Metric(
            "rmse",
            "RMSE",
            _NUMBERS,
            _paired(metrics.rmse),
            is_in_percent=False,
        ),
        Metric("mae", "MAE", _NUMBERS, _paired(metrics.mae), is_in_percent=False),
        Metric(
            "question_exact_match",
            "question exact match",
            _CLASSES,
            lambda inputs: metrics.group_exact_match(inputs.predictions, inputs.targets, inputs.groups),
            is_offered=False,
        ),
        Metric(
            "exact_match",
            "exact match",
            _ANSWERS,
            _paired(metrics.exact_match),
            is_offered=False,
        ),
        Metric(
            "token_f1",
            "token F1",
            _ANSWERS,
            _paired(metrics.token_f1),
            is_offered=False,
        ),
        Metric("entity_f1", "entity F1", _TAGS, _paired(tag_scores.entity_f1), needs_spans=True),
        Metric("entity_precision", "entity precision", _TAGS, _paired(tag_scores.entity_precision), needs_spans=True),
        Metric("entity_recall", "entity recall", _TAGS, _paired(tag_scores.entity_recall), needs_spans=True),
        Metric("token_accuracy", "token accuracy", _TAGS, _paired(tag_scores.token_accuracy)),
        Metric("loss", "loss", _TOKENS, _predicted(token_scores.loss), is_in_percent=False),
        Metric(
            "perplexity",
            "perplexity",
            _TOKENS,
            _predicted(token_scores.perplexity),
            is_in_percent=False,
            lowest=1.0,
        ),
        Metric("next_token_accuracy", "next token accuracy", _TOKENS, _predicted(token_scores.next_token_accuracy)),
        Metric("exact_text", "exact text", _WRITTEN, _paired(generation_scores.exact_text), needs_texts=True),
        Metric("final_number", "final number", _WRITTEN, _paired(generation_scores.final_number), needs_texts=True),
        Metric("rouge_l", "ROUGE-L", _WRITTEN, _paired(generation_scores.rouge_l), needs_texts=True),
        Metric("chrf", "chrF", _WRITTEN, _paired(generation_scores.chrf), needs_texts=True),
        Metric("label_micro_f1", "micro F1", _LABELS, _paired(label_set_scores.micro_f1)),
        Metric("label_macro_f1", "macro F1", _LABELS, _paired(label_set_scores.macro_f1)),
        Metric(
            "mean_average_precision",
            "mean average precision",
            _LABELS,
            lambda inputs: label_set_scores.mean_average_precision(inputs.probabilities, inputs.targets),
        ),
        Metric("subset_accuracy", "subset accuracy", _LABELS, _paired(metrics.accuracy)),
        Metric("span_f1", "answer F1", _SPANS, _paired(metrics.token_f1)),
        Metric("span_exact_match", "answer exact match", _SPANS, _paired(metrics.exact_match)),
    )
}


def measure(names: Sequence[str], inputs: MetricInputs) -> dict[str, float]:
    """Compute metrics.

    Args:
        names: of `METRICS`.
        inputs: what they read.

    Returns:
        name -> value, in percent or in the unit of the labels.

    Raises:
        DataError: without examples, or if there are more or fewer predictions than targets.
        DivergedError: for a predicted number that is not finite.
    """
    if not inputs.targets or len(inputs.predictions) != len(inputs.targets):
        raise DataError(
            f"{len(inputs.predictions)} predictions for {len(inputs.targets)} targets can't be scored. Give one "
            "prediction for each row of the encoded examples, in their order, and at least one."
        )
    outputs = [row[0] for row in inputs.probabilities] or inputs.predictions
    wrong = next((value for value in outputs if isinstance(value, float) and not math.isfinite(value)), None)
    if wrong is not None:
        raise DivergedError(
            f"The model predicts {wrong}, which is no number. Lower --training.learning_rate, or check the data and "
            "the model."
        )
    return {name: METRICS[name].compute(inputs) for name in names}


def score_task(task: Task, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
    """Compute every metric of a task, but those of what a model writes: see `score_texts`.

    Args:
        task: its goal and metrics are used.
        predictions: probabilities of every class, numbers, answers, the tag index of every word or the score of every
            row's tokens, one for each example.
        examples: with their targets.

    Returns:
        as `measure`.

    Raises:
        DataError, DivergedError: as `measure`.
    """
    if task.goal is Goal.TAGS:
        gold = tag_scores.name_tags([example.tags for example in examples], task.labels)
        return measure(task.metrics, MetricInputs(tag_scores.name_tags(predictions, task.labels), gold))
    if task.goal in _TOKENS:
        names = [name for name in task.metrics if not METRICS[name].needs_texts]
        return measure(names, MetricInputs(predictions, [score.count for score in predictions]))
    targets, groups = [example.target for example in examples], [example.group for example in examples]
    if task.goal is Goal.CLASSIFICATION:
        return measure(task.metrics, MetricInputs.of_classes(predictions, [int(e.number) for e in examples], groups))
    return measure(task.metrics, MetricInputs(predictions, targets, groups))


def score_texts(task: Task, texts: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute the metrics of a task that read what a model writes.

    Args:
        task: its metrics are used.
        texts: that were written, one for each example.
        references: what was to be written.

    Returns:
        as `measure`; nothing where no metric of the task reads texts.

    Raises:
        DataError: as `measure`.
    """
    names = [name for name in task.metrics if METRICS[name].needs_texts]
    return measure(names, MetricInputs(texts, references)) if names else {}
