"""Scores of predicted tags: by whole spans, as seqeval counts them, and by words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.tag_scheme import as_iobes, has_spans
from peftsearch.tasks.task import Example

# What a word counts as that is beyond the limit: the first tag of a task.
UNREAD = 0

Tags = Sequence[Sequence[str]]


@dataclass(frozen=True)
class EntityScore:
    """How the spans of a type were found.

    Args:
        precision: share of the predicted spans that are right in type and in both ends, in percent.
        recall: share of the spans that were predicted so, in percent.
        f1: harmonic mean of both, in percent; 0 where nothing was right.
        spans: that there are.
    """

    precision: float
    recall: float
    f1: float
    spans: int


# Rows of seqeval's report that are means.
_OVER_TYPES = ("micro avg", "macro avg", "weighted avg")
_NOTHING = EntityScore(0.0, 0.0, 0.0, 0)


def mean_entities(rows: Sequence[Mapping[str, EntityScore]]) -> dict[str, EntityScore]:
    """Means over trainings of the scores of each type.

    A type that has no spans, and that a training does not predict, has a score of 0 there.
    """
    means = {}
    for name in sorted({name for row in rows for name in row}):
        scores = [row.get(name, _NOTHING) for row in rows]
        means[name] = EntityScore(
            fmean(score.precision for score in scores),
            fmean(score.recall for score in scores),
            fmean(score.f1 for score in scores),
            max(score.spans for score in scores),
        )
    return means


def complete_tags(predictions: Sequence[Sequence[int]], examples: Sequence[Example]) -> list[list[int]]:
    """Give every word a tag: those beyond the limit, which have no prediction, the task's first one.

    Args:
        predictions: a tag index for each word that was read.
        examples: of the same rows.

    Raises:
        DataError: for more or fewer rows.
    """
    if len(predictions) != len(examples):
        raise DataError(
            f"{len(predictions)} rows of predictions for {len(examples)} examples can't be scored. Give one for each "
            "row of the encoded examples, in their order."
        )
    return [
        [*tags, *[UNREAD] * (len(example.words) - len(tags))]
        for tags, example in zip(predictions, examples, strict=True)
    ]


def name_tags(rows: Sequence[Sequence[int]], labels: Sequence[str]) -> list[list[str]]:
    """The names of tag indices."""
    return [[labels[tag] for tag in row] for row in rows]


def entity_f1(predictions: Tags, targets: Tags) -> float:
    """F1 of the spans of all types together; 0 where there are none."""
    from seqeval.metrics import f1_score

    return _of_spans(f1_score, predictions, targets)


def entity_precision(predictions: Tags, targets: Tags) -> float:
    """Share of the predicted spans that are right in type and in both ends; 0 where none is predicted."""
    from seqeval.metrics import precision_score

    return _of_spans(precision_score, predictions, targets)


def entity_recall(predictions: Tags, targets: Tags) -> float:
    """Share of the spans that are predicted right in type and in both ends; 0 where there are none."""
    from seqeval.metrics import recall_score

    return _of_spans(recall_score, predictions, targets)


def _of_spans(score: Callable[..., Any], predictions: Tags, targets: Tags) -> float:
    return 100 * float(score(_readable(targets), _readable(predictions), zero_division=0))


def _readable(rows: Tags) -> list[list[str]]:
    """Tags with the marks that seqeval reads."""
    return [[as_iobes(tag) for tag in row] for row in rows]


def spans_of(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of a row, as seqeval finds them: type, and places of the first and the last word."""
    from seqeval.metrics.sequence_labeling import get_entities

    return get_entities([as_iobes(tag) for tag in tags])


def token_accuracy(predictions: Tags, targets: Tags) -> float:
    """Share of the words with the right tag."""
    pairs = [pair for rows in zip(predictions, targets, strict=True) for pair in zip(*rows, strict=True)]
    return 100 * sum(found == wanted for found, wanted in pairs) / len(pairs)


def score_entities(
    predictions: Sequence[Sequence[int]], examples: Sequence[Example], labels: Sequence[str]
) -> dict[str, EntityScore]:
    """Score the spans of each type; none where the tags mark no spans.

    Args:
        predictions: as for `complete_tags`.
        examples: of the same rows.
        labels: names of the tags.

    Returns:
        type -> its scores, for each type that the examples or the predictions have.
    """
    if not has_spans(labels):
        return {}
    from seqeval import metrics

    targets = name_tags([example.tags for example in examples], labels)
    found = name_tags(complete_tags(predictions, examples), labels)
    make_report: Callable[..., Any] = metrics.classification_report
    report = make_report(_readable(targets), _readable(found), output_dict=True, zero_division=0)
    return {name: _as_score(row) for name, row in report.items() if name not in _OVER_TYPES}


def _as_score(row: Mapping[str, float]) -> EntityScore:
    precision, recall, f1 = (100 * float(row[key]) for key in ("precision", "recall", "f1-score"))
    return EntityScore(precision, recall, f1, int(row["support"]))
