"""One class a picture: a folder of class folders, or a table of paths or pictures and their classes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from peftsearch.errors import DataError
from peftsearch.task_head import Medium
from peftsearch.tasks.cells import read_label, read_text
from peftsearch.tasks.format_entry import FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.formats.texts import answer, answer_columns
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.labels import check_types, class_name, find_classes
from peftsearch.tasks.made_task import TaskKind, refuse_goal, split_examples, task_of
from peftsearch.tasks.picture_cells import holds_picture, path_of, read_reference
from peftsearch.tasks.picture_file import FORMATS, is_inlined, read_picture
from peftsearch.tasks.picture_folders import IMAGE, LABEL
from peftsearch.tasks.reading import Fields
from peftsearch.tasks.splits import Splits, check_splits, shorten
from peftsearch.tasks.tables import Row, Table, require_columns
from peftsearch.tasks.task import TEST, TRAIN, VALIDATION, Example, Goal, Task, TaskRequest

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

logger = logging.getLogger(__name__)

_NAME = "pictures"
# Columns of paths or pictures that need no --text.
_COLUMNS = (IMAGE, "path")


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell by which column tables name or hold pictures; "" if they do not.

    Columns of the names image and path are not looked at beside those of texts, text and label.
    """
    first = tables[0].first_cells
    column = request.text or _column_of(first)
    is_text = not request.text and {"text", "label"} <= set(first)
    cell = first.get(column)
    if is_text or not holds_picture(cell):
        return ""
    return f"the column '{column}' of {tables[0].name} {'holds' if path_of(cell) is None else 'names'} pictures"


def _column_of(row: Row) -> str:
    return next((name for name in _COLUMNS if name in row), IMAGE)


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with a column of paths or pictures and a column of classes.

    Every picture that is used is read once, so that a broken one is found before a training.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task, and pictures that cannot be read.
    """
    if request.goal != Goal.CLASSIFICATION:
        refuse_goal(request, _NAME, "predicts classes")
    needed = (request.text or _column_of(tables[0].first_cells), request.label or LABEL)
    needed = (*needed, request.group) if request.group else needed
    for table in tables:
        require_columns(table.rows, needed, source=table.name)
    tables = without_gaps(tables, text=(), needed=needed, drop=request.drop_missing)
    for table in tables:
        check_types(table, needed[1], is_classes=True)
    labels = find_classes(tables, needed[1])
    places: dict[str, str] = {}
    parts = [_to_examples(table, needed, labels=labels, places=places) for table in tables]
    strata = [example.target for example in parts[-1]]
    splits = split_examples(parts, strata, request)
    splits = Splits(_with_content(splits.rows, places, source=name), splits.rule)
    check_splits(splits.rows, labels=labels, source=name)
    _warn_of_copies(splits.rows, source=name)
    kind = TaskKind(Goal.CLASSIFICATION, labels, 0)
    return replace(task_of(name, tables, request, kind=kind, splits=splits), task_format=_NAME)


def _to_examples(
    table: Table, columns: Sequence[str], *, labels: Sequence[str], places: dict[str, str]
) -> list[Example]:
    """Make examples of a table, and note in `places` where each picture stands."""
    index: Mapping[str, int] = {name: i for i, name in enumerate(labels)}
    column, label, *group = columns
    examples = []
    for row, where in zip(table.rows, table.places(), strict=True):
        reference = read_reference(row, column, table.folder, where=where)
        target = index[class_name(read_label(row, label, where=where))]
        stays_with = read_text(row, group[0], where=where) if group else ""
        examples.append(Example(((f"{column}:", reference),), target, group=stays_with))
        places.setdefault(reference, where)
    return examples


def _with_content(
    rows: Mapping[str, Sequence[Example]], places: Mapping[str, str], *, source: str
) -> dict[str, list[Example]]:
    """Read every picture, and note its SHA-256; warn of names that say another format than there is."""
    found, misnamed = {}, []
    for split, examples in rows.items():
        found[split] = []
        for example in examples:
            reference = example.fields[0][1]
            picture, path = read_picture(reference, where=places[reference]), Path(reference)
            if not is_inlined(reference) and picture.kind != FORMATS[path.suffix.lower()]:
                misnamed.append(f"{path.name} is {picture.kind}")
            found[split].append(replace(example, content=picture.digest))
    if misnamed:
        logger.warning(
            "%d pictures of %s have another format than their suffix says, and are read as what they are: %s.",
            len(misnamed),
            source,
            shorten(misnamed),
        )
    return found


def _warn_of_copies(rows: Mapping[str, Sequence[Example]], *, source: str) -> None:
    """Warn of validation and test pictures that are in training too, in equal files: their scores are too good."""
    known = {example.content for example in rows[TRAIN]}
    for name in (VALIDATION, TEST):
        count = sum(example.content in known for example in rows[name])
        if count:
            logger.warning(
                "%d of %d %s pictures of %s are equal files to training pictures, so their score is too good. Remove "
                "the pictures that are there twice.",
                count,
                len(rows[name]),
                name,
                source,
            )


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for a model that reads pictures.

    Raises:
        DataError: for an encoder-decoder.
    """
    from peftsearch.tasks.picture_format import PictureFormat

    if request.is_encoder_decoder:
        raise DataError(
            f"{request.task.name} has a class for each picture, but an encoder-decoder model writes texts. Take a "
            "model that reads pictures, such as a ViT."
        )
    return PictureFormat(request.task, request.tokenizer, request.class_weights)


def read_fields(row: Row, columns: Sequence[tuple[str, str]], where: str) -> Fields:
    """Read a row's picture, so that a broken one is named; as `TaskFormatEntry` says."""
    ((label, column),) = columns
    reference = read_reference(row, column, Path(), where=where)
    read_picture(reference, where=where)
    return ((label, reference),)


def in_folder(row: Row, columns: Sequence[tuple[str, str]], folder: Path) -> Row:
    """A row whose relative path counts from the working directory; as `TaskFormatEntry` says."""
    ((_, column),) = columns
    path = path_of(row.get(column))
    return row if path is None or "://" in path else {**row, column: str(folder / path)}


register_task_format(
    TaskFormatEntry(
        _NAME,
        "one class a picture: a folder of class folders, or a table of paths or pictures",
        (),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=read_fields,
        answer_columns=answer_columns,
        answer=answer,
        medium=Medium.PICTURES,
        in_folder=in_folder,
    )
)
