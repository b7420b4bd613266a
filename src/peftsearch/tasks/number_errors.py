"""Where predicted numbers are wrong: beside the true ones, and the largest errors."""

from collections.abc import Sequence

from peftsearch.tasks.error_report import ErrorReport, ErrorTable, NumberPairs
from peftsearch.tasks.quoted_fields import field_names, quoted_fields
from peftsearch.tasks.task import Example
from peftsearch.tasks.written_number import write_number

# Points that are drawn, and rows of the table.
_POINTS, _MISTAKES = 300, 10


def number_errors(predictions: Sequence[float], examples: Sequence[Example]) -> ErrorReport:
    """Describe predicted numbers.

    Args:
        predictions: in the unit of the labels, one for each example.
        examples: with their numbers.
    """
    pairs = sorted((float(e.number), float(p)) for e, p in zip(examples, predictions, strict=True))
    # Evenly among the sorted ones, the first and the last included.
    step = max(1.0, (len(pairs) - 1) / (_POINTS - 1))
    drawn = [pairs[round(i * step)] for i in range(min(_POINTS, len(pairs)))]
    numbers = NumberPairs(tuple(true for true, _ in drawn), tuple(predicted for _, predicted in drawn))
    return ErrorReport(numbers=numbers, quotes=(_largest_errors(predictions, examples),))


def _largest_errors(predictions: Sequence[float], examples: Sequence[Example]) -> ErrorTable:
    off = [predicted - float(example.number) for predicted, example in zip(predictions, examples, strict=True)]
    largest = sorted(range(len(off)), key=lambda i: -abs(off[i]))[:_MISTAKES]
    rows = tuple(
        (
            str(i + 1),
            write_number(float(examples[i].number), 5),
            write_number(predictions[i], 5),
            f"{'+' if off[i] > 0 else ''}{write_number(off[i], 5)}",
            *quoted_fields(examples[i]),
        )
        for i in largest
    )
    header = ("example", "true", "predicted", "difference", *field_names(examples))
    return ErrorTable("The largest errors", header, rows)
