"""Tasks from the user's own files, or from a data set on the Hugging Face hub."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_fields, read_label, read_number, read_text
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.labels import class_name, find_classes, find_goal
from peftsearch.tasks.metric_choice import choose_metrics
from peftsearch.tasks.splits import (
    Splits,
    check_splits,
    limit_train,
    split_groups,
    split_one,
    split_small,
    warn_of_leaks,
    warn_of_shared_groups,
)
from peftsearch.tasks.tables import Table, format_of, read_hub, read_table, require_columns
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest
from peftsearch.tasks.text_files import TextReading, is_compressed

logger = logging.getLogger(__name__)

MAX_LENGTH = 256
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+|[\w-]+")


def load_user_data(request: TaskRequest) -> Task:
    """Read and split the user's data.

    One table is split 80/10/10. Of two tables, the second is halved into validation and test. Three are used as given.

    Args:
        request: its `data`, columns, number of training examples and seed.

    Raises:
        DataError: for data that is missing, unreadable or does not fit a task.
    """
    name, tables = _read_tables(str(request.data), TextReading(request.delimiter, request.encoding))
    text = tuple(part.strip() for part in (request.text or "text").split(",") if part.strip())
    label = request.label or "label"
    needed = (label, request.group) if request.group else (label,)
    for table in tables:
        require_columns(table.rows, (*text, *needed), source=table.name)
    tables = without_gaps(tables, text=text, needed=needed, drop=request.drop_missing)
    goal = find_goal(tables, label, wanted=request.goal)
    labels = find_classes(tables, label) if goal is Goal.CLASSIFICATION else ()
    parts = [_to_examples(table, text=text, label=label, labels=labels, group=request.group) for table in tables]
    splits = _split(parts, labels, group=request.group, seed=request.seed)
    train = limit_train(splits.rows[TRAIN], max_samples=request.max_train_samples, seed=request.seed)
    rows = {**splits.rows, TRAIN: train}
    check_splits(rows, labels=labels, source=name)
    warn_of_leaks(rows, source=name)
    if request.group:
        warn_of_shared_groups(rows, column=request.group, source=name)
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


def _read_tables(data: str, reading: TextReading) -> tuple[str, list[Table]]:
    """Read the task's name and its one to three tables: train, validation, test."""
    parts = [part.strip() for part in data.split(",") if part.strip()]
    if not 1 <= len(parts) <= 3:
        raise DataError(f"--data names {len(parts)} files, but takes 'train[,validation[,test]]'.")
    if len(parts) == 1 and _is_hub_id(parts[0]):
        _refuse_reading(parts[0], reading)
        return parts[0], _read_hub_tables(parts[0])
    paths = [Path(part).expanduser() for part in parts]
    stem = Path(paths[0].stem).stem if is_compressed(paths[0]) else paths[0].stem
    name = paths[0].resolve().parent.name if stem == TRAIN else stem
    tables = [Table(path.name, read_table(path, reading)) for path in paths]
    logger.info("Read %s.", ", ".join(f"{len(table.rows):,} rows of {table.name}" for table in tables))
    return name, tables


def _refuse_reading(name: str, reading: TextReading) -> None:
    if reading != TextReading():
        raise DataError(
            f"'{name}' is a data set of the hub, which knows its delimiter and encoding. Leave --delimiter and "
            "--encoding out, or name a file that is there."
        )


def data_files(data: str | None) -> list[str]:
    """List the files that `data` of a run names; none for a data set of the hub, and without any."""
    parts = [part.strip() for part in (data or "").split(",") if part.strip()]
    return [] if len(parts) == 1 and _is_hub_id(parts[0]) else parts


def _source(name: str, tables: Sequence[Table]) -> dict[str, object]:
    """Describe the tables that were read, with the data set's id if they are from the hub."""
    read: dict[str, object] = {"data": [table.name for table in tables], "rows": [len(table.rows) for table in tables]}
    if any(table.left_out for table in tables):
        read |= {"left_out": [len(table.left_out) for table in tables]}
    return {"hub": name, **read} if tables[0].name == f"{name} {TRAIN}" else read


def _is_hub_id(name: str) -> bool:
    path = Path(name).expanduser()
    return (
        not path.exists()
        and format_of(path) is None
        and not is_compressed(path)
        and _HUB_ID.fullmatch(name) is not None
    )


def _read_hub_tables(name: str) -> list[Table]:
    found = read_hub(name)
    if TRAIN not in found:
        raise DataError(f"The data set '{name}' has no split 'train', only {', '.join(found)}. Use files instead.")
    order = [TRAIN] + [split for split in (VALIDATION, TEST) if split in found]
    return [Table(f"{name} {split}", found[split]) for split in order]


def _to_examples(
    table: Table, *, text: Sequence[str], label: str, labels: Sequence[str], group: str | None
) -> list[Example]:
    columns = tuple((f"{column}:", column) for column in text)
    index: Mapping[str, int] = {name: i for i, name in enumerate(labels)}
    examples = []
    for row, where in zip(table.rows, table.places(), strict=True):
        fields = read_fields(row, columns, where=where)
        if labels:
            target: int | float = index[class_name(read_label(row, label, where=where))]
        else:
            target = read_number(row, label, where=where)
        examples.append(Example(fields, target, group=read_text(row, group, where=where) if group else ""))
    return examples


def _split(parts: Sequence[list[Example]], labels: Sequence[str], *, group: str | None, seed: int) -> Splits:
    """Draw the splits that the files leave open; rows of a group stay on one side."""
    if len(parts) == 3:
        return Splits(dict(zip((TRAIN, VALIDATION, TEST), parts)), "three files as given")
    strata = [example.target if labels else "" for example in parts[-1]]
    if group:
        return split_groups(parts, strata, column=group, seed=seed)
    return split_one(parts[0], strata, seed=seed) if len(parts) == 1 else split_small(*parts, seed=seed)
