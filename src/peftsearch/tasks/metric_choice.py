"""The metrics of the user's own data: the one that selects, and those that are reported beside it."""

import logging
from collections.abc import Callable, Mapping, Sequence

from peftsearch.errors import DataError, UnknownNameError
from peftsearch.names import split_names
from peftsearch.tasks.generation_scores import find_final_number, has_rouge_words
from peftsearch.tasks.metric_registry import METRICS, Metric
from peftsearch.tasks.quoting import quote
from peftsearch.tasks.splits import shorten
from peftsearch.tasks.tag_scheme import has_spans
from peftsearch.tasks.task import NEXT_TOKENS, TEST, VALIDATION, Example, Goal
from peftsearch.tasks.wanted_text import wanted_text

logger = logging.getLogger(__name__)

# What is reported of every task of the user; where none is asked for, the first one selects.
_DEFAULTS: Mapping[Goal, tuple[str, ...]] = {
    Goal.CLASSIFICATION: ("accuracy", "macro_f1"),
    Goal.REGRESSION: ("pearson", "spearman", "rmse", "mae"),
    Goal.TAGS: ("entity_f1", "entity_precision", "entity_recall", "token_accuracy"),
    Goal.TEXT: ("loss", "perplexity", "next_token_accuracy", "exact_text", "rouge_l", "chrf"),
    Goal.LABELS: ("label_micro_f1", "label_macro_f1", "mean_average_precision", "subset_accuracy"),
    Goal.SPANS: ("span_f1", "span_exact_match"),
    **dict.fromkeys(NEXT_TOKENS, ("loss", "perplexity", "next_token_accuracy")),
}
_SHORT = {"matthews": "matthews_correlation"}
# What tasks predict, in words.
KINDS = {
    Goal.CLASSIFICATION: "classes",
    Goal.REGRESSION: "numbers",
    Goal.ANSWER: "answers",
    Goal.TAGS: "tags",
    Goal.TEXT: "texts",
    Goal.LABELS: "several labels",
    Goal.SPANS: "spans",
    **dict.fromkeys(NEXT_TOKENS, "next tokens"),
}
# How labels are written that a metric fits.
_HINTS = {
    Goal.CLASSIFICATION: "For classes, write the labels as text or integers.",
    Goal.REGRESSION: "For a regression, write the labels with a decimal point (3.0).",
    Goal.TAGS: "Tags are a list in each row, one for each token.",
    Goal.TEXT: "For texts that a model writes, give --task_format text_to_text.",
    Goal.LABELS: "For classes, give each row one label.",
    Goal.SPANS: "Answers are spans of a context.",
    **dict.fromkeys(NEXT_TOKENS, "--task_format says what a row is."),
}
# Metrics of texts that not every text has -> what they read, and what to do where a text has none.
_READ: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "final_number": (lambda text: find_final_number(text) is not None, "needs a number in every target"),
    "rouge_l": (
        has_rouge_words,
        "counts words of the letters a to z and digits alone, and needs some in every target",
    ),
}
_OF_CHATS = (lambda text: bool(text.strip()), "needs a question and a written answer as the target of every chat")


def read_metrics(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of metrics, as `--metric` takes it; none from an empty one.

    Raises:
        UnknownNameError: for one that does not exist.
    """
    names = split_names(text)
    offered = [name for name, metric in METRICS.items() if metric.is_offered]
    for name in names:
        if name not in (*offered, *_SHORT):
            raise UnknownNameError("metric", name, offered)
    return tuple(dict.fromkeys(_SHORT.get(name, name) for name in names))


def choose_metrics(
    text: str, *, goal: Goal, labels: Sequence[str], rows: Mapping[str, Sequence[Example]], source: str
) -> tuple[str, ...]:
    """Choose the metrics of a task: the one that selects first, then all others that are reported.

    Args:
        text: as for `read_metrics`; empty for accuracy, Pearson's correlation, F1 of spans (accuracy of words where
            tags mark none), micro F1 of several labels, SQuAD's F1, or the loss of texts and next tokens.
        goal: of the task, which the user's data has.
        labels: names of the classes, tags or labels; empty for numbers, spans and texts.
        rows: "train", "validation" and "test" -> the examples.
        source: the data in words, for errors.

    Raises:
        UnknownNameError: for a metric that does not exist.
        DataError: for one that does not fit the task or its splits.
    """
    asked = read_metrics(text)
    for name in asked:
        _check_fit(METRICS[name], goal=goal, labels=labels, source=source)
        if METRICS[name].needs_every_class:
            _check_classes(METRICS[name], labels=labels, rows=rows, source=source)
        if unread := _find_unread(name, rows, goal):
            others = [
                one.name for one in METRICS.values() if one.is_offered and goal in one.goals and one.name != name
            ]
            raise DataError(
                f"The metric '{name}' {_needs(name, goal)[1]}, but that of {unread.where or source} is "
                f"'{quote(wanted_text(unread, goal))}'. Remove such rows, or take another of {', '.join(others)}."
            )
        if METRICS[name].num_classes == 2:
            logger.info("%s is that of the class '%s'; the other class is '%s'.", name, labels[1], labels[0])
    defined = [name for name in _DEFAULTS[goal] if not METRICS[name].needs_spans or has_spans(labels)]
    unread = {name: row for name in defined if (row := _find_unread(name, rows, goal))}
    for name, row in unread.items():
        text, needs = quote(wanted_text(row, goal)), _needs(name, goal)[1]
        logger.info("%s is left out: it %s, but that of %s is '%s'.", name, needs, row.where or source, text)
    return tuple(dict.fromkeys((*asked, *(name for name in defined if name not in unread))))


def _find_unread(name: str, rows: Mapping[str, Sequence[Example]], goal: Goal) -> Example | None:
    """The first held-out row whose target a metric of texts cannot read."""
    if not METRICS[name].needs_texts:
        return None
    reads = _needs(name, goal)[0]
    held_out = (row for split in (VALIDATION, TEST) for row in rows[split])
    return next((row for row in held_out if not reads(wanted_text(row, goal))), None)


def _needs(name: str, goal: Goal) -> tuple[Callable[[str], bool], str]:
    """Whether a metric reads a target, and what it needs in words."""
    of_any = _OF_CHATS if goal is Goal.CHATS else (lambda text: True, "reads every target")
    return _READ.get(name, of_any)


def _check_fit(metric: Metric, *, goal: Goal, labels: Sequence[str], source: str) -> None:
    fitting = [one.name for one in METRICS.values() if one.is_offered and goal in one.goals]
    if goal not in metric.goals:
        raise DataError(
            f"The metric '{metric.name}' is one of {KINDS[metric.goals[0]]}, but the labels of {source} are "
            f"{KINDS[goal]}. Metrics of {KINDS[goal]}: {', '.join(fitting)}. {_HINTS[metric.goals[0]]}"
        )
    if metric.needs_spans and not has_spans(labels):
        raise DataError(
            f"The metric '{metric.name}' counts spans, but the tags of {source} mark none: {shorten(labels)}. "
            "Write them as B-TYPE, I-TYPE and O, or take token_accuracy."
        )
    if metric.num_classes and len(labels) != metric.num_classes:
        raise DataError(
            f"The metric '{metric.name}' is that of the second of {metric.num_classes} classes, but {source} has "
            f"{len(labels)}: {shorten(labels)}. Take macro_f1, the mean over all classes, or another of "
            f"{', '.join(name for name in fitting if not METRICS[name].num_classes)}."
        )


def _check_classes(
    metric: Metric, *, labels: Sequence[str], rows: Mapping[str, Sequence[Example]], source: str
) -> None:
    """Refuse a metric that is not defined on a split where a class has no example."""
    for split in (VALIDATION, TEST):
        found = {example.target for example in rows[split]}
        missing = [label for i, label in enumerate(labels) if i not in found]
        if missing:
            raise DataError(
                f"The metric '{metric.name}' needs rows of every class, but the {split} split of {source} has none of "
                f"{shorten(missing)} in {len(rows[split])} rows. Give more rows, give files for validation and test "
                "that have every class, or take another metric."
            )
