"""Tasks from the user's own files, or from a data set on the Hugging Face hub."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftsearch.errors import DataError
from peftsearch.tasks.cells import as_number, read_fields, read_label, read_number
from peftsearch.tasks.metric_choice import choose_metrics
from peftsearch.tasks.splits import Splits, check_splits, limit_train, shorten, split_one, split_small, warn_of_leaks
from peftsearch.tasks.tables import READERS, Row, read_hub, read_table, require_columns
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest

logger = logging.getLogger(__name__)

MAX_LENGTH = 256
# A label column with more distinct fractional numbers than this holds numbers, even if some cells are wrong.
_MAX_FRACTIONAL_CLASSES = 20
# A table with so few rows may have a class for each.
_FEWEST_ROWS = 4
# A warning is given below so many training rows a class.
_ROWS_PER_CLASS = 10
_INTEGER = re.compile(r"[+-]?\d+")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+|[\w-]+")


@dataclass(frozen=True)
class Table:
    """A table with a name for errors.

    Args:
        name: such as "train.csv".
        rows: of the table.
    """

    name: str
    rows: Sequence[Row]


def load_user_data(request: TaskRequest) -> Task:
    """Read and split the user's data.

    One table is split 80/10/10. Of two tables, the second is halved into validation and test. Three are used as given.

    Args:
        request: its `data`, columns, number of training examples and seed.

    Raises:
        DataError: for data that is missing, unreadable or does not fit a task.
    """
    name, tables = _read_tables(str(request.data))
    text = tuple(part.strip() for part in (request.text or "text").split(",") if part.strip())
    label = request.label or "label"
    for table in tables:
        require_columns(table.rows, (*text, label), source=table.name)
    goal = _find_goal(tables, label)
    labels = _find_classes(tables, label) if goal is Goal.CLASSIFICATION else ()
    parts = [_to_examples(table, text=text, label=label, labels=labels) for table in tables]
    splits = _split(parts, labels, seed=request.seed)
    train = limit_train(splits.rows[TRAIN], max_samples=request.max_train_samples, seed=request.seed)
    rows = {**splits.rows, TRAIN: train}
    check_splits(rows, labels=labels, source=name)
    warn_of_leaks(rows, source=name)
    metrics = choose_metrics(request.metric, goal=goal, labels=labels, rows=rows, source=name)
    return Task(
        name=name,
        goal=goal,
        labels=labels,
        selection_metric=metrics[0],
        reported_metric=metrics[0],
        splits={split: tuple(examples) for split, examples in rows.items()},
        split_rule=splits.rule,
        max_length=MAX_LENGTH,
        source=_source(name, tables),
        other_metrics=metrics[1:],
        seed=request.seed,
    )


def _read_tables(data: str) -> tuple[str, list[Table]]:
    """Read the task's name and its one to three tables: train, validation, test."""
    parts = [part.strip() for part in data.split(",") if part.strip()]
    if not 1 <= len(parts) <= 3:
        raise DataError(f"--data names {len(parts)} files, but takes 'train[,validation[,test]]'.")
    if len(parts) == 1 and _is_hub_id(parts[0]):
        return parts[0], _read_hub_tables(parts[0])
    paths = [Path(part).expanduser() for part in parts]
    name = paths[0].resolve().parent.name if paths[0].stem == TRAIN else paths[0].stem
    return name, [Table(path.name, read_table(path)) for path in paths]


def data_files(data: str | None) -> list[str]:
    """List the files that `data` of a run names; none for a data set of the hub, and without any."""
    parts = [part.strip() for part in (data or "").split(",") if part.strip()]
    return [] if len(parts) == 1 and _is_hub_id(parts[0]) else parts


def _source(name: str, tables: Sequence[Table]) -> dict[str, object]:
    """Describe the tables that were read, with the data set's id if they are from the hub."""
    read = {"data": [table.name for table in tables], "rows": [len(table.rows) for table in tables]}
    return {"hub": name, **read} if tables[0].name == f"{name} {TRAIN}" else read


def _is_hub_id(name: str) -> bool:
    path = Path(name).expanduser()
    return not path.exists() and path.suffix.lower() not in READERS and _HUB_ID.fullmatch(name) is not None


def _read_hub_tables(name: str) -> list[Table]:
    found = read_hub(name)
    if TRAIN not in found:
        raise DataError(f"The data set '{name}' has no split 'train', only {', '.join(found)}. Use files instead.")
    order = [TRAIN] + [split for split in (VALIDATION, TEST) if split in found]
    return [Table(f"{name} {split}", found[split]) for split in order]


def _find_goal(tables: Sequence[Table], label: str) -> Goal:
    """Choose a regression for a label column of decimal numbers, and a classification for anything else.

    A number is decimal if it is written so (3.0, or a float in JSON or parquet): for a regression on whole numbers,
    write them with a decimal point. A few cells that are no numbers do not turn a regression into a classification.
    """
    train = tables[0]
    values = [read_label(row, label, where=_where(train, i)) for i, row in enumerate(train.rows)]
    decimals = {number for value in values if (number := _as_decimal(value)) is not None}
    is_numeric = all(as_number(value) is not None for value in values)
    fractional = {number for number in decimals if number % 1 != 0}
    if (is_numeric and decimals) or len(fractional) > _MAX_FRACTIONAL_CLASSES:
        logger.info("The labels in '%s' are decimal numbers: a regression. Write integers to get classes.", label)
        return Goal.REGRESSION
    return Goal.CLASSIFICATION


def _as_decimal(value: object) -> float | None:
    """Convert a value that is written as a decimal number; None for anything else."""
    is_decimal = isinstance(value, float) or (isinstance(value, str) and _INTEGER.fullmatch(value.strip()) is None)
    return as_number(value) if is_decimal else None


def _find_classes(tables: Sequence[Table], label: str) -> tuple[str, ...]:
    """Collect the classes of the training table, sorted by name, or by value if all are integers.

    Raises:
        DataError: for labels that hardly ever repeat, and for labels of later tables that the training table does not
            have.
    """
    found = [
        {_class_name(read_label(row, label, where=_where(table, i))) for i, row in enumerate(table.rows)}
        for table in tables
    ]
    classes = found[0]
    _check_number(classes, tables[0], label)
    for table, names in zip(tables[1:], found[1:]):
        unseen = sorted(names - classes)
        if unseen:
            raise DataError(
                f"{table.name} has labels that {tables[0].name} has not: {shorten(unseen)}. Training labels: "
                f"{shorten(sorted(classes))}. Add training rows of these labels, or remove their rows."
            )
    is_integer = all(_INTEGER.fullmatch(name) for name in classes)
    return tuple(sorted(classes, key=int if is_integer else str))


def _check_number(classes: Collection[str], train: Table, label: str) -> None:
    """Refuse a label column whose values hardly ever repeat, and warn of classes with few rows.

    Raises:
        DataError: for more classes than half of the training rows.
    """
    rows = len(train.rows)
    if rows <= _FEWEST_ROWS:
        return
    if len(classes) > rows / 2:
        raise DataError(
            f"The label column '{label}' of {train.name} has {len(classes)} different values in {rows} rows, for "
            f"example {shorten(sorted(classes)[:3])}, but classes must repeat. Name another column in --label. For a "
            "regression write numbers with a decimal point (100000.0); free text as an answer is trained in your own "
            "Trainer, see SearchTrainer in docs/python.md."
        )
    if rows < _ROWS_PER_CLASS * len(classes):
        logger.warning(
            "%s has %d rows for %d classes: fewer than %d a class.", train.name, rows, len(classes), _ROWS_PER_CLASS
        )


def _class_name(value: object) -> str:
    return str(value).strip()


def _to_examples(table: Table, *, text: Sequence[str], label: str, labels: Sequence[str]) -> list[Example]:
    columns = tuple((f"{column}:", column) for column in text)
    index: Mapping[str, int] = {name: i for i, name in enumerate(labels)}
    examples = []
    for i, row in enumerate(table.rows):
        where = _where(table, i)
        fields = read_fields(row, columns, where=where)
        if labels:
            target: int | float = index[_class_name(read_label(row, label, where=where))]
        else:
            target = read_number(row, label, where=where)
        examples.append(Example(fields=fields, target=target))
    return examples


def _split(parts: Sequence[list[Example]], labels: Sequence[str], *, seed: int) -> Splits:
    if len(parts) == 1:
        return split_one(parts[0], [e.target if labels else "" for e in parts[0]], seed=seed)
    if len(parts) == 2:
        return split_small(parts[0], parts[1], seed=seed)
    return Splits(dict(zip((TRAIN, VALIDATION, TEST), parts)), "three files as given")


def _where(table: Table, index: int) -> str:
    return f"row {index + 1} of {table.name}"
