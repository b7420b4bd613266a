"""Where predicted classes are wrong: which are confused, the scores of each, and the surest mistakes."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from peftsearch.tasks.error_report import CountMatrix, ErrorReport, ErrorTable
from peftsearch.tasks.quoted_fields import field_names, quoted_fields
from peftsearch.tasks.quoting import quote
from peftsearch.tasks.task import Example

# Labels that are all shown, in a matrix and a row each.
_FEW = 12
# Rows of the tables of many labels, and of mistakes.
_WORST, _PAIRS, _MISTAKES = 10, 15, 10
# Characters of a label's name.
_NAME = 40


def class_errors(
    probabilities: Sequence[Sequence[float]], examples: Sequence[Example], labels: Sequence[str]
) -> ErrorReport:
    """Describe predicted classes; the likeliest one, the first of equals, counts.

    Args:
        probabilities: of every class, a row for each example.
        examples: with their classes.
        labels: names of the classes.
    """
    found = [max(range(len(row)), key=row.__getitem__) for row in probabilities]
    true = [int(example.number) for example in examples]
    mistakes = _surest_mistakes(probabilities, found, examples, labels)
    text = () if mistakes.rows else ("No prediction is wrong.",)
    matrix, tables = label_errors(found, true, labels, what="examples")
    return ErrorReport(text, matrix, tables=tables, quotes=(mistakes,) if mistakes.rows else ())


def label_errors(
    found: Sequence[int], true: Sequence[int], labels: Sequence[str], *, what: str
) -> tuple[CountMatrix | None, tuple[ErrorTable, ...]]:
    """Count which labels are confused: all of few ones in a matrix, of many the pairs that are confused most often.

    Args:
        found: predicted label of each example or word, as an index.
        true: the right ones.
        labels: their names.
        what: of what there are so many: "examples" or "words".

    Returns:
        the matrix, None for many labels; and tables with the scores of each label, or of the worst ones of many.
    """
    scores = label_scores(found, true, labels, what=what)
    names = _names(labels)
    if len(names) > _FEW:
        pairs = _confused_pairs(found, true, names, what)
        return None, (scores, *([pairs] if pairs.rows else []))
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(true, found, labels=range(len(names))).tolist()
    return CountMatrix(names, tuple(map(tuple, counts))), (scores,)


def label_scores(found: Any, true: Any, labels: Sequence[str], *, what: str) -> ErrorTable:
    """Precision, recall and F1 of each label; of many the lowest, those of more examples first.

    Args:
        found: predicted label of each example or word, as an index; or 0 and 1 for each label, (rows, labels).
        true: the right ones.
        labels: their names.
        what: of what there are so many: "examples" or "words".
    """
    from sklearn.metrics import precision_recall_fscore_support

    names = _names(labels)
    measure: Callable[..., Any] = precision_recall_fscore_support
    columns = measure(true, found, labels=range(len(names)), zero_division=0)
    rows = list(zip(names, *(column.tolist() for column in columns), strict=True))
    caption = "Scores of each label, in percent"
    if len(names) > _FEW:
        rows = sorted((row for row in rows if row[4]), key=lambda row: (row[3], -row[4]))[:_WORST]
        caption = f"The {len(rows)} labels of {len(names)} with the lowest F1, in percent"
    return ErrorTable(caption, ("label", what, "precision", "recall", "F1"), tuple(_score_row(*row) for row in rows))


def _names(labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(quote(label, longest=_NAME) for label in labels)


def _score_row(name: str, precision: float, recall: float, f1: float, support: int) -> tuple[str, ...]:
    """A row of scores; a label that nothing has cannot be found, and has no scores."""
    scores = (f"{100 * value:.2f}" if support else "-" for value in (precision, recall, f1))
    return (name, f"{support:,}", *scores)


def _confused_pairs(found: Sequence[int], true: Sequence[int], names: Sequence[str], what: str) -> ErrorTable:
    totals = Counter(true)
    pairs = Counter((t, f) for t, f in zip(true, found, strict=True) if t != f)
    most = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:_PAIRS]
    rows = tuple((names[t], names[f], f"{n:,}", f"{n / totals[t]:.0%}") for (t, f), n in most)
    return ErrorTable("The pairs confused most often", ("true", "predicted", what, "of the true label"), rows)


def _surest_mistakes(
    probabilities: Sequence[Sequence[float]],
    found: Sequence[int],
    examples: Sequence[Example],
    labels: Sequence[str],
) -> ErrorTable:
    wrong = [i for i, example in enumerate(examples) if found[i] != example.number]
    wrong.sort(key=lambda i: -probabilities[i][found[i]])
    rows = tuple(
        (
            str(i + 1),
            quote(labels[int(examples[i].number)], longest=_NAME),
            quote(labels[found[i]], longest=_NAME),
            f"{probabilities[i][found[i]]:.3f}",
            *quoted_fields(examples[i]),
        )
        for i in wrong[:_MISTAKES]
    )
    caption = f"The surest of {len(wrong):,} mistakes"
    return ErrorTable(caption, ("example", "true", "predicted", "probability", *field_names(examples)), rows)
