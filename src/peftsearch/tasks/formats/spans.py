"""Answers that are spans of a context: SQuAD's fields, or an answer and its place in two columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.names import split_names
from peftsearch.tasks.answer_cells import START, are_answers, read_answer, read_answers
from peftsearch.tasks.cells import read_fields, read_text
from peftsearch.tasks.format_entry import PREDICTION, FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.made_task import TaskKind, refuse_goal, split_examples, task_of
from peftsearch.tasks.reading import TaskReading
from peftsearch.tasks.span_rules import SpanRules
from peftsearch.tasks.splits import check_sizes, warn_of_leaks
from peftsearch.tasks.tables import Row, Table, require_columns
from peftsearch.tasks.task import TRAIN, Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.span_choice import Answer
    from peftsearch.tasks.task_format import TaskFormat

_NAME = "spans"
MAX_LENGTH = 384
_QUESTION, _CONTEXT, _ANSWERS, _ANSWER = "question", "context", "answers", "answer"
# Columns of the answer and of its probability.
_PROBABILITY = "probability"


@dataclass(frozen=True)
class _Columns:
    """The columns of a task: question and context, answers or an answer and its place, and groups."""

    text: tuple[str, ...]
    answers: tuple[str, ...]
    group: str

    @classmethod
    def of(cls, tables: Sequence[Table], request: TaskRequest) -> "_Columns":
        text = _split(request.text or f"{_QUESTION},{_CONTEXT}")
        is_flat = _ANSWERS not in tables[0].first_cells and {_ANSWER, START} <= set(tables[0].first_cells)
        answers = _split(request.label or (f"{_ANSWER},{START}" if is_flat else _ANSWERS))
        # Without a group of the user's, questions about one context stay together.
        return cls(text, answers, request.group or text[-1])

    @property
    def needed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.text, *self.answers, self.group)))


def _split(names: str) -> tuple[str, ...]:
    return tuple(split_names(names))


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell by which columns tables hold questions, contexts and answers in them; "" if they do not."""
    columns, first = _Columns.of(tables, request), tables[0].first_cells
    cells = [first.get(column) for column in columns.answers]
    is_squad = len(cells) == 1 and are_answers(cells[0])
    is_flat = columns.answers == (_ANSWER, START) and START in first
    are_texts = len(columns.text) == 2 and all(isinstance(first.get(column), str) for column in columns.text)
    if not are_texts or not (is_squad or is_flat):
        return ""
    names = ", ".join(f"'{name}'" for name in (*columns.text, *columns.answers))
    return f"{tables[0].name} has the columns {names} of SQuAD"


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with questions, contexts, and answers that stand in them.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, rules, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    columns = _Columns.of(tables, request)
    _check_request(request, columns)
    for table in tables:
        require_columns(table.rows, columns.needed, source=table.name)
    # An answer in two columns is missing where both are empty: then the context has none.
    answers = columns.answers if len(columns.answers) == 1 else ()
    needed = tuple(dict.fromkeys((*columns.text, columns.group)))
    tables = without_gaps(tables, text=answers, needed=needed, drop=request.drop_missing)
    parts = [_to_examples(table, columns) for table in tables]
    strata = ["answered" if example.spans else "unanswered" for example in parts[-1]]
    request = replace(request, group=columns.group)
    splits = split_examples(parts, strata, request, by="sort of question")
    train = splits.rows[TRAIN]
    check_sizes(splits.rows, source=name)
    if not any(example.spans for example in train):
        raise DataError(
            f"None of the {len(train)} training rows of {name} has an answer, so nothing can be learned. Check the "
            "column of the answers, or raise max_train_samples."
        )
    warn_of_leaks(splits.rows, source=name)
    kind = TaskKind(Goal.SPANS, (), MAX_LENGTH)
    task = task_of(name, tables, request, kind=kind, splits=splits)
    return replace(task, span_rules=_rules(request, train))


def _rules(request: TaskRequest, train: Sequence[Example]) -> SpanRules:
    """The rules of a request; there may be no answer where a training row has none."""
    can_be_unanswered = any(not example.spans for example in train)
    return SpanRules(request.context_overlap, request.max_answer_length, can_be_unanswered)


def _check_request(request: TaskRequest, columns: _Columns) -> None:
    refuse_goal(request, _NAME, "predicts answers")
    if len(columns.text) != 2:
        raise DataError(
            f"--text names {len(columns.text)} columns, but the task format {_NAME} reads two: that of the questions, "
            "then that of the contexts."
        )
    if len(columns.answers) > 2:
        raise DataError(
            f"--label names {len(columns.answers)} columns, but the task format {_NAME} reads one with SQuAD's "
            "answers, or two: that of the answer, then that of its place in the context."
        )
    for name, least in (("context_overlap", 0), ("max_answer_length", 1)):
        if getattr(request, name) < least:
            raise DataError(f"{name} is {getattr(request, name)} tokens, but must be at least {least}.")


def _to_examples(table: Table, columns: _Columns) -> list[Example]:
    fields = [(f"{column}:", column) for column in columns.text]
    examples = []
    for row, where in zip(table.rows, table.places(), strict=True):
        read = read_fields(row, fields, where=where)
        spans = _read_spans(row, columns, read[1][1], where)
        examples.append(Example(read, spans, group=read_text(row, columns.group, where=where)))
    return examples


def _read_spans(row: Row, columns: _Columns, context: str, where: str) -> tuple[tuple[int, int], ...]:
    if len(columns.answers) == 1:
        return read_answers(row, columns.answers[0], context, where=where)
    return read_answer(row, columns.answers, context, where=where)


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for an encoder or a decoder.

    Raises:
        DataError: for an encoder-decoder, or windows that share too many tokens.
        ModelError: for a tokenizer that does not tell the characters of its tokens.
    """
    from peftsearch.tasks.answer_spans import AnswerSpanFormat

    if request.is_encoder_decoder:
        raise DataError(
            f"{request.task.name} has answers that are spans of a context, but an encoder-decoder model writes texts. "
            "Take an encoder or a decoder."
        )
    return AnswerSpanFormat(request.task, request.tokenizer, request.max_length)


def answer(output: "Answer", example: Example, reading: TaskReading) -> dict[str, Any]:
    """The text of the answer, which is empty for none, and its probability."""
    return {PREDICTION: output.text, _PROBABILITY: float(f"{output.probability:.7g}")}


register_task_format(
    TaskFormatEntry(
        _NAME,
        "answers that are spans of a context, as in SQuAD: question, context, and answers or answer and answer_start",
        (Goal.SPANS,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=lambda row, columns, where: read_fields(row, columns, where=where),
        answer_columns=lambda reading: (PREDICTION, _PROBABILITY),
        answer=answer,
        settings=("context_overlap", "max_answer_length"),
    )
)
