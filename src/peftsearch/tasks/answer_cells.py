"""Read the gold answers of a question from a row, each with its place in the context."""

from collections.abc import Sequence

from peftsearch.errors import DataError
from peftsearch.tasks.cells import as_number, read_value, show_cell
from peftsearch.tasks.tables import Row, is_null

# An answer's characters in its context: those from the first number to before the second.
Span = tuple[int, int]
# Keys of SQuAD's answers, which also are names of columns.
TEXT, START = "text", "answer_start"


def are_answers(value: object) -> bool:
    """Whether a cell holds answers in one of the forms of SQuAD, as `read_answers` reads them."""
    if isinstance(value, list | tuple):
        return all(isinstance(answer, dict) and {TEXT, START} <= answer.keys() for answer in value)
    return isinstance(value, dict) and START in value


def read_answers(row: Row, column: str, context: str, *, where: str) -> tuple[Span, ...]:
    """Read SQuAD's answers: an object with a list of texts and a list of the places where they begin.

    A list of objects, each with a text and a place, as SQuAD's own files have it, says the same.

    Args:
        row: one row of a table.
        column: of the answers.
        context: in which they stand.
        where: the row in words, for errors.

    Returns:
        each answer once, without spaces around it; none where the lists are empty, and the context has no answer.

    Raises:
        DataError: for another form, an empty answer, or one that does not stand at its place.
    """
    value = read_value(row, column, what="answers", where=where)
    if isinstance(value, list | tuple) and are_answers(value):
        value = {key: [answer[key] for answer in value] for key in (TEXT, START)}
    texts, starts = (_list(value, key) for key in (TEXT, START))
    if texts is None or starts is None or len(texts) != len(starts):
        raise DataError(
            f"The answers in column '{column}' are {show_cell(value)} in {where}, but must be an object with two "
            f"lists of the same length, '{TEXT}' and '{START}', as SQuAD has them. One answer can also stand in two "
            "columns, 'answer' and 'answer_start'."
        )
    return tuple(dict.fromkeys(_span(text, start, context, where) for text, start in zip(texts, starts)))


def _list(value: object, key: str) -> Sequence | None:
    """The list under a key; None where there is none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list | tuple) else None


def read_answer(row: Row, columns: Sequence[str], context: str, *, where: str) -> tuple[Span, ...]:
    """Read one answer from two columns, of its text and of its place; none where both are empty.

    Arguments and errors are those of `read_answers`.
    """
    if all(is_null(row.get(column)) for column in columns):
        return ()
    text, start = (read_value(row, column, what="answer", where=where) for column in columns)
    return (_span(text, start, context, where),)


def _span(text: object, start: object, context: str, where: str) -> Span:
    if not isinstance(text, str) or not text.strip():
        raise DataError(
            f"An answer is {show_cell(text)} in {where}, but answers are texts that stand in their context. Correct "
            f"it; a question without an answer has the answers {{'{TEXT}': [], '{START}': []}}."
        )
    number = as_number(start)
    if number is None or isinstance(start, bool) or number % 1 or number < 0:
        raise DataError(
            f"The place of the answer {show_cell(text)} is {show_cell(start)} in {where}, but must be the number of "
            "characters before it in its context."
        )
    begin = int(number)
    if context[begin : begin + len(text)] != text:
        raise DataError(
            f"The answer {show_cell(text)} does not stand at character {begin} of its context in {where}: there is "
            f"{show_cell(context[begin : begin + len(text)])}. {_elsewhere(text, context)}"
        )
    before = len(text) - len(text.lstrip())
    return begin + before, begin + before + len(text.strip())


def _elsewhere(text: str, context: str) -> str:
    found = context.find(text)
    if found < 0:
        return "It stands nowhere in it: correct the answer, or remove the row."
    return f"It stands at {found}; are places counted in characters, and from 0?"
