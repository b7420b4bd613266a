"""Where predicted tags are wrong: what became of the spans of each type, confused tags, and some mistakes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from peftsearch.tasks.class_errors import label_errors
from peftsearch.tasks.error_report import ErrorReport, ErrorTable
from peftsearch.tasks.quoting import quote
from peftsearch.tasks.tag_scheme import has_spans
from peftsearch.tasks.tag_scores import complete_tags, name_tags, spans_of
from peftsearch.tasks.task import Example

_MISTAKES = 10
# Characters of a type's name.
_NAME = 40
# A type, and the places of the first and the last word.
Span = tuple[str, int, int]


def tag_errors(
    predictions: Sequence[Sequence[int]], examples: Sequence[Example], labels: Sequence[str]
) -> ErrorReport:
    """Describe predicted tags: by spans where the tags mark any, and by words otherwise.

    Args:
        predictions: a tag index for each word that was read.
        examples: of the same rows.
        labels: names of the tags.
    """
    found = complete_tags(predictions, examples)
    return _span_errors(found, examples, labels) if has_spans(labels) else _word_errors(found, examples, labels)


# -- tags of words


def _word_errors(found: Sequence[Sequence[int]], examples: Sequence[Example], labels: Sequence[str]) -> ErrorReport:
    predicted, true = [tag for row in found for tag in row], [tag for row in examples for tag in row.tags]
    matrix, tables = label_errors(predicted, true, labels, what="words")
    wrong = {
        i: _wrong_words(row, example, labels)
        for i, (row, example) in enumerate(zip(found, examples, strict=True))
        if tuple(row) != example.tags
    }
    most = sorted(wrong, key=lambda i: -len(wrong[i]))[:_MISTAKES]
    rows = tuple((str(i + 1), quote("; ".join(wrong[i])), _text(examples[i])) for i in most)
    caption = f"Rows with the most wrong words, of {len(wrong):,} with any"
    return _report(matrix=matrix, tables=tables, quotes=ErrorTable(caption, ("example", "wrong words", "text"), rows))


def _wrong_words(row: Sequence[int], example: Example, labels: Sequence[str]) -> list[str]:
    return [
        f"{word}: {labels[found]}, not {labels[true]}"
        for word, found, true in zip(example.words, row, example.tags, strict=True)
        if found != true
    ]


# -- tags of spans


@dataclass
class _Outcomes:
    """What became of the spans of a type.

    Args:
        right: found with type and ends.
        other_type: found with their ends, as another type.
        other_ends: overlapped by a predicted span.
        missed: no word of them is in a predicted span.
        invented: predicted spans of the type, no word of which is in a span.
    """

    right: int = 0
    other_type: int = 0
    other_ends: int = 0
    missed: int = 0
    invented: int = 0

    @property
    def spans(self) -> int:
        """Spans of the type that there are."""
        return self.right + self.other_type + self.other_ends + self.missed


@dataclass
class _Row:
    """A row's spans that were not predicted, and those predicted that are not there."""

    lost: list[Span] = field(default_factory=list)
    wrong: list[Span] = field(default_factory=list)


def _span_errors(found: Sequence[Sequence[int]], examples: Sequence[Example], labels: Sequence[str]) -> ErrorReport:
    gold = name_tags([example.tags for example in examples], labels)
    by_type: dict[str, _Outcomes] = {}
    rows: dict[int, _Row] = {}
    for i, (true_tags, found_tags) in enumerate(zip(gold, name_tags(found, labels), strict=True)):
        true, predicted = spans_of(true_tags), spans_of(found_tags)
        for span in true:
            outcomes = by_type.setdefault(span[0], _Outcomes())
            outcome = _outcome(span, predicted)
            setattr(outcomes, outcome, getattr(outcomes, outcome) + 1)
        for span in predicted:
            if not _overlapping(span, true):
                by_type.setdefault(span[0], _Outcomes()).invented += 1
        if set(true) != set(predicted):
            rows[i] = _Row([s for s in true if s not in predicted], [s for s in predicted if s not in true])
    return _report(tables=(_outcome_table(by_type),), quotes=_span_mistakes(rows, examples))


def _outcome(span: Span, predicted: Sequence[Span]) -> str:
    if span in predicted:
        return "right"
    if any(other[1:] == span[1:] for other in predicted):
        return "other_type"
    return "other_ends" if _overlapping(span, predicted) else "missed"


def _overlapping(span: Span, others: Sequence[Span]) -> bool:
    return any(first <= span[2] and span[1] <= last for _, first, last in others)


def _outcome_table(by_type: dict[str, _Outcomes]) -> ErrorTable:
    header = ("type", "spans", "right", "as another type", "with other ends", "missed", "predicted where none is")
    rows = tuple(
        (quote(name, longest=_NAME), *map(str, (o.spans, o.right, o.other_type, o.other_ends, o.missed, o.invented)))
        for name, o in sorted(by_type.items())
    )
    return ErrorTable("What became of the spans of each type", header, rows)


def _span_mistakes(rows: dict[int, _Row], examples: Sequence[Example]) -> ErrorTable:
    most = sorted(rows, key=lambda i: -(len(rows[i].lost) + len(rows[i].wrong)))[:_MISTAKES]
    shown = tuple(
        (
            str(i + 1),
            quote("; ".join(_shown(rows[i].lost, examples[i]))),
            quote("; ".join(_shown(rows[i].wrong, examples[i]))),
            _text(examples[i]),
        )
        for i in most
    )
    caption = f"Rows with the most wrong spans, of {len(rows):,} with any"
    return ErrorTable(caption, ("example", "not found", "predicted instead", "text"), shown)


def _shown(spans: Sequence[Span], example: Example) -> Iterator[str]:
    for name, first, last in spans:
        yield f"{' '.join(example.words[first : last + 1])} ({name})"


def _text(example: Example) -> str:
    return quote(" ".join(example.words))


def _report(*, matrix=None, tables: tuple[ErrorTable, ...], quotes: ErrorTable) -> ErrorReport:
    text = () if quotes.rows else ("No prediction is wrong.",)
    return ErrorReport(text, matrix, tables=tables, quotes=(quotes,) if quotes.rows else ())
