"""Where predicted answers are wrong: some that are none of the right ones."""

from collections.abc import Sequence

from peftsearch.tasks.error_report import ErrorReport, ErrorTable
from peftsearch.tasks.metrics import exact_match
from peftsearch.tasks.quoted_fields import field_names, quoted_fields
from peftsearch.tasks.quoting import quote
from peftsearch.tasks.task import Example

_MISTAKES = 10


def answer_errors(answers: Sequence[str], examples: Sequence[Example]) -> ErrorReport:
    """Show answers that match none of the right ones, but for case, punctuation and articles; the first ones in order.

    Args:
        answers: one for each example.
        examples: with the right answers.
    """
    pairs = enumerate(zip(answers, examples, strict=True), start=1)
    wrong = [(i, a, e) for i, (a, e) in pairs if not exact_match([a], [e.answers])]
    if not wrong:
        return ErrorReport(("No answer is wrong.",))
    rows = tuple(
        (str(i), quote("; ".join(example.answers)), quote(answer), *quoted_fields(example))
        for i, answer, example in wrong[:_MISTAKES]
    )
    caption = f"The first of {len(wrong):,} wrong answers, of {len(examples):,}"
    return ErrorReport(quotes=(ErrorTable(caption, ("example", "right", "answered", *field_names(examples)), rows),))
