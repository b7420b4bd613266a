"""Where predictions of several labels are wrong: the scores of each label, and the texts with the most wrong ones."""

from collections.abc import Sequence

from peftsearch.tasks.class_errors import label_scores
from peftsearch.tasks.error_report import ErrorReport, ErrorTable
from peftsearch.tasks.label_set_scores import as_rows
from peftsearch.tasks.quoted_fields import field_names, quoted_fields
from peftsearch.tasks.quoting import quote
from peftsearch.tasks.task import Example

_MISTAKES = 10


def label_set_errors(
    found: Sequence[Sequence[int]], examples: Sequence[Example], labels: Sequence[str]
) -> ErrorReport:
    """Describe predicted sets of labels.

    Args:
        found: a 0 or a 1 for each label, a row for each example.
        examples: with the indices of their labels.
        labels: their names.
    """
    import numpy

    true = as_rows([example.label_indices for example in examples], len(labels))
    scores = label_scores(numpy.array(found), numpy.array(true), labels, what="examples")
    wrong = {i: _wrong(given, gold, labels) for i, (given, gold) in enumerate(zip(found, true, strict=True))}
    most = sorted((i for i, parts in wrong.items() if any(parts)), key=lambda i: -sum(map(len, wrong[i])))
    if not most:
        return ErrorReport(("No prediction is wrong.",), tables=(scores,))
    rows = tuple((str(i + 1), *map(_shown, wrong[i]), *quoted_fields(examples[i])) for i in most[:_MISTAKES])
    caption = f"Rows with the most wrong labels, of {len(most):,} with any"
    header = ("example", "not given", "given wrongly", *field_names(examples))
    return ErrorReport(tables=(scores,), quotes=(ErrorTable(caption, header, rows),))


def _wrong(given: Sequence[int], gold: Sequence[int], labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """The labels that a text has and was not given, and those that it was given and does not have."""
    named = list(zip(labels, given, gold, strict=True))
    return [name for name, one, other in named if other > one], [name for name, one, other in named if one > other]


def _shown(names: Sequence[str]) -> str:
    return quote("; ".join(names)) or "-"
