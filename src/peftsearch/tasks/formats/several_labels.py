"""Several labels a text: a list in the label column, a text with a separator, or a column of 0 and 1 for each."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.names import split_names
from peftsearch.tasks.cells import as_number, read_fields, read_text, show_cell
from peftsearch.tasks.format_entry import (
    PREDICTION,
    PROBABILITY,
    FormatRequest,
    TaskFormatEntry,
    register_task_format,
)
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.label_sets import as_flag, reader_of
from peftsearch.tasks.made_task import TaskKind, refuse_goal, split_examples, task_of
from peftsearch.tasks.reading import Fields, TaskReading
from peftsearch.tasks.splits import check_sizes, shorten, warn_of_leaks
from peftsearch.tasks.tables import Table, is_null, require_columns
from peftsearch.tasks.task import TRAIN, Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

logger = logging.getLogger(__name__)

_NAME = "several_labels"
MAX_LENGTH = 256
# A table may have so many labels that hardly repeat.
_FEW_LABELS = 4


@dataclass(frozen=True)
class _LabelledRow:
    """A row as it was read: its fields, its labels, its group, and where it stands."""

    fields: Fields
    labels: tuple[str, ...]
    group: str
    where: str


@dataclass(frozen=True)
class _Columns:
    """The columns of a task."""

    text: tuple[str, ...]
    labels: tuple[str, ...]
    group: str | None
    separator: str

    @classmethod
    def of(cls, request: TaskRequest) -> "_Columns":
        text, labels = _split(request.text or "text"), _split(request.label or "label")
        return cls(text, labels, request.group, request.label_separator)

    @property
    def grouping(self) -> tuple[str, ...]:
        return (self.group,) if self.group else ()


def _split(names: str) -> tuple[str, ...]:
    return tuple(split_names(names))


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell by which mark tables hold several labels a text; "" if they do not.

    Marks are a separator that is named, several label columns with numbers, and lists of labels beside texts.
    """
    columns, first = _Columns.of(request), tables[0].first_cells
    if request.label_separator:
        return f"labels are separated by {request.label_separator!r}"
    cells = [first.get(column) for column in columns.labels]
    is_text = not any(isinstance(first.get(column), list | tuple) for column in columns.text)
    if len(cells) == 1:
        is_list = isinstance(cells[0], list | tuple)
        return f"the column '{columns.labels[0]}' of {tables[0].name} holds lists" if is_list and is_text else ""
    is_named = all(column in first for column in columns.labels) and all(map(_could_be_flag, cells))
    return f"--label names {len(cells)} columns" if is_named else ""


def _could_be_flag(cell: object) -> bool:
    """Whether a cell is a flag, or a number or a gap in the place of one, of which reading says what is wrong."""
    return is_null(cell) or as_flag(cell) is not None or as_number(cell) is not None


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with text columns and several labels a row.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    refuse_goal(request, _NAME, "predicts several labels")
    columns = _Columns.of(request)
    for table in tables:
        require_columns(table.rows, (*columns.text, *columns.labels, *columns.grouping), source=table.name)
    # An empty list means no label, and so does an empty cell, which csv files have for an empty text.
    lists = () if columns.separator else columns.labels
    tables = without_gaps(tables, text=(*columns.text, *lists), needed=columns.grouping, drop=request.drop_missing)
    read = [_read_rows(table, columns) for table in tables]
    labels = columns.labels if len(columns.labels) > 1 else _find_labels(read, tables)
    parts = [_to_examples(rows, labels) for rows in read]
    splits = split_examples(parts, _rarest_labels(parts[-1]), request, by="rarest label of a row")
    _check_splits(splits.rows, labels=labels, source=name)
    kind = TaskKind(Goal.LABELS, labels, MAX_LENGTH)
    task = task_of(name, tables, request, kind=kind, splits=splits)
    return replace(task, label_separator=request.label_separator)


def _read_rows(table: Table, columns: _Columns) -> list[_LabelledRow]:
    """Read a table, whose labels must be all names or all numbers."""
    read_labels, fields = reader_of(columns.labels, columns.separator), [(f"{name}:", name) for name in columns.text]
    found, kinds = [], {}
    for row, where in zip(table.rows, table.places(), strict=True):
        labels = read_labels(row, where)
        for label in labels:
            kinds.setdefault(type(label), f"{show_cell(label)} in {where}")
        group = read_text(row, columns.group, where=where) if columns.group else ""
        found.append(_LabelledRow(read_fields(row, fields, where=where), tuple(map(str, labels)), group, where))
    if len(kinds) > 1:
        raise DataError(
            f"The labels in column '{columns.labels[0]}' are of several types: {', '.join(kinds.values())}. Write all "
            "in one way."
        )
    return found


def _find_labels(read: Sequence[Sequence[_LabelledRow]], tables: Sequence[Table]) -> tuple[str, ...]:
    """Collect the labels of the training table, sorted by name.

    Raises:
        DataError: for fewer than two labels, for labels that hardly ever repeat, and for a label of a later table that
            the training table lacks.
    """
    counts = Counter(label for row in read[0] for label in row.labels)
    if len(counts) < 2:
        raise DataError(
            f"{tables[0].name} has {len(counts)} labels{f', {shorten(list(counts))},' if counts else ''} in "
            f"{len(read[0])} rows, but several labels are at least two. Name another column in --label, or another "
            "--label_separator; whether a text has one label or not is a class: --task_format texts."
        )
    if len(counts) > max(_FEW_LABELS, counts.total() / 2):
        raise DataError(
            f"{tables[0].name} has {len(counts)} different labels, which it gives {counts.total()} times, for example "
            f"{shorten(sorted(counts)[:3])}, but labels must repeat. Name another column in --label, or another "
            "--label_separator."
        )
    for row in (row for rows in read[1:] for row in rows):
        unseen = [label for label in row.labels if label not in counts]
        if unseen:
            raise DataError(
                f"The label '{unseen[0]}' in {row.where} is none of {tables[0].name}. Training labels: "
                f"{shorten(sorted(counts))}. Add training rows with this label, or remove it from its rows."
            )
    are_numbers = all(label.isascii() and label.isdigit() for label in counts)
    return tuple(sorted(counts, key=lambda label: (int(label) if are_numbers else 0, label)))


def _to_examples(rows: Sequence[_LabelledRow], labels: Sequence[str]) -> list[Example]:
    index: Mapping[str, int] = {name: i for i, name in enumerate(labels)}
    return [Example(row.fields, tuple(sorted(index[name] for name in row.labels)), group=row.group) for row in rows]


def _rarest_labels(examples: Sequence[Example]) -> list[int]:
    """The label of each example that the fewest examples have, so that drawn splits share rare ones; -1 for none."""
    counts = Counter(label for example in examples for label in example.label_indices)
    return [min(example.label_indices, key=lambda label: (counts[label], label), default=-1) for example in examples]


def _check_splits(rows: Mapping[str, Sequence[Example]], *, labels: Sequence[str], source: str) -> None:
    """Refuse splits from which nothing can be learned; warn of labels that training never or always has."""
    check_sizes(rows, source=source)
    train = rows[TRAIN]
    counts = Counter(label for example in train for label in example.label_indices)
    never = [label for i, label in enumerate(labels) if not counts[i]]
    always = [label for i, label in enumerate(labels) if counts[i] == len(train)]
    if len(never) + len(always) == len(labels):
        raise DataError(
            f"All {len(train)} training rows of {source} have the same labels ({shorten(always) or 'none'}), from "
            "which nothing can be learned. Check the label column, or raise max_train_samples."
        )
    if never:
        logger.warning("No training row of %s has the labels %s; they can't be learned.", source, shorten(never))
    if always:
        logger.warning(
            "Every training row of %s has the labels %s; when they are missing can't be learned.",
            source,
            shorten(always),
        )
    warn_of_leaks(rows, source=source)


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for an encoder or a decoder.

    Raises:
        DataError: for an encoder-decoder.
    """
    from peftsearch.tasks.multi_label import SeveralLabelsFormat

    if request.is_encoder_decoder:
        raise DataError(
            f"{request.task.name} has several labels a text, but an encoder-decoder model writes texts. Take an "
            "encoder or a decoder."
        )
    return SeveralLabelsFormat(request.task, request.tokenizer, request.max_length)


def answer(output: Any, example: Example, reading: TaskReading) -> dict[str, Any]:
    """The labels whose probability is at least the run's threshold, and the probability of each label.

    The labels are a list, or a text where the labels of the run's data were one.
    """
    from peftsearch.tasks.label_set_scores import UNFITTED

    threshold = UNFITTED if reading.threshold is None else reading.threshold
    given = [label for label, share in zip(reading.labels, output, strict=True) if share >= threshold]
    shares = {PROBABILITY + label: float(f"{share:.7g}") for label, share in zip(reading.labels, output, strict=True)}
    return {PREDICTION: reading.label_separator.join(given) if reading.label_separator else given, **shares}


register_task_format(
    TaskFormatEntry(
        _NAME,
        "several labels a text: a list, a text with --label_separator, or a column of 0 and 1 for each in --label",
        (Goal.LABELS,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=lambda row, columns, where: read_fields(row, columns, where=where),
        answer_columns=lambda reading: (PREDICTION, *(PROBABILITY + label for label in reading.labels)),
        answer=answer,
        settings=("label_separator",),
    )
)
