"""Where predicted spans are wrong: what became of the questions, and some wrong answers."""

from collections import Counter
from collections.abc import Sequence

from peftsearch.tasks.error_report import ErrorReport, ErrorTable
from peftsearch.tasks.metrics import exact_match, token_f1
from peftsearch.tasks.quoting import quote
from peftsearch.tasks.span_choice import gold_texts
from peftsearch.tasks.task import Example

_MISTAKES = 10
_OUTCOMES = ("right", "with other ends", "elsewhere", "not answered")
_RIGHT, _OTHER_ENDS, _ELSEWHERE, _NOT_ANSWERED = _OUTCOMES


def span_errors(answers: Sequence[str], examples: Sequence[Example]) -> ErrorReport:
    """Count what became of questions with and without an answer, and show the first wrong answers.

    An answer is right as SQuAD's exact match says, and has other ends where it shares a word with a right one.

    Args:
        answers: one for each question; empty where the context has none, by the model.
        examples: with the spans of the right answers.
    """
    counts = {True: Counter[str](), False: Counter[str]()}
    wrong: list[tuple[str, ...]] = []
    for i, (answer, example) in enumerate(zip(answers, examples, strict=True), start=1):
        outcome = _outcome(answer, gold_texts(example))
        counts[bool(example.spans)][outcome] += 1
        if outcome != _RIGHT:
            right = "; ".join(dict.fromkeys(gold_texts(example)))
            wrong.append((str(i), quote(right) or "-", quote(answer) or "-", quote(example.fields[0][1])))
    named = (("with an answer", counts[True]), ("without an answer", counts[False]))
    rows = tuple((name, f"{n.total():,}", *(f"{n[outcome]:,}" for outcome in _OUTCOMES)) for name, n in named if n)
    table = ErrorTable("What became of the questions", ("questions", "how many", *_OUTCOMES), rows)
    if not wrong:
        return ErrorReport(("No answer is wrong.",), tables=(table,))
    caption = f"The first of {len(wrong):,} wrong answers, of {len(examples):,}"
    header = ("example", "right", "answered", "question")
    return ErrorReport(tables=(table,), quotes=(ErrorTable(caption, header, tuple(wrong[:_MISTAKES])),))


def _outcome(answer: str, gold: Sequence[str]) -> str:
    if exact_match([answer], [gold]):
        return _RIGHT
    if not answer:
        return _NOT_ANSWERED
    return _OTHER_ENDS if token_f1([answer], [gold]) else _ELSEWHERE
