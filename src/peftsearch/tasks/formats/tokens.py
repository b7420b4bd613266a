"""A tag for each word: a list of words and a list of tags in a row, or a CoNLL file."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_text, show_cell
from peftsearch.tasks.conll import TAGS, WORDS, read_conll
from peftsearch.tasks.conllu import read_conllu
from peftsearch.tasks.format_entry import PREDICTION, FormatRequest, TaskFormatEntry, register_task_format
from peftsearch.tasks.gaps import without_gaps
from peftsearch.tasks.made_task import TaskKind, refuse_goal, split_examples, task_of
from peftsearch.tasks.reading import Fields, TaskReading
from peftsearch.tasks.splits import check_sizes, shorten, warn_of_leaks
from peftsearch.tasks.tables import Row, Table, require_columns
from peftsearch.tasks.tag_scheme import OUTSIDE, adds_a_mark, by_type, tell_scheme
from peftsearch.tasks.tag_scores import complete_tags, name_tags
from peftsearch.tasks.task import TRAIN, Example, Goal, Task, TaskRequest
from peftsearch.tasks.word_cells import read_tags, read_words

if TYPE_CHECKING:
    from peftsearch.tasks.task_format import TaskFormat

logger = logging.getLogger(__name__)

_NAME = "tokens"
# Column of the answer.
MAX_LENGTH = 256


@dataclass(frozen=True)
class _TaggedRow:
    """A row as it was read: its words, the tag of each, its group, and where it stands."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    group: str
    where: str


def recognise(tables: Sequence[Table], request: TaskRequest) -> str:
    """Tell by which columns tables hold lists of words and of tags; "" if they do not.

    Columns of the names tokens and tags are not looked at beside those of texts, text and label.
    """
    words, tags = request.text or WORDS, request.label or TAGS
    first = tables[0].first_cells
    is_named = bool(request.text or request.label)
    is_text = not is_named and {"text", "label"} <= set(first)
    if is_text or not all(isinstance(first.get(column), list | tuple) for column in (words, tags)):
        return ""
    return f"the columns '{words}' and '{tags}' of {tables[0].name} hold lists"


def load(name: str, tables: Sequence[Table], request: TaskRequest) -> Task:
    """Make a task of tables with a column of words and a column of tags.

    Args:
        name: of the data.
        tables: train, validation and test, as far as there are any.
        request: its columns, number of training examples and seed.

    Raises:
        DataError: for tables that do not fit a task.
    """
    refuse_goal(request, _NAME, "predicts tags")
    needed = (request.text or WORDS, request.label or TAGS, *((request.group,) if request.group else ()))
    for table in tables:
        require_columns(table.rows, needed, source=table.name)
    tables = without_gaps(tables, text=(), needed=needed, drop=request.drop_missing)
    read = [_read_rows(table, *needed) for table in tables]
    labels = _find_tags(read, tables)
    tell_scheme([row.tags for row in read[0]], source=tables[0].name, places=[row.where for row in read[0]])
    parts = [_to_examples(rows, words=needed[0], labels=labels) for rows in read]
    strata = _rarest_tags(parts[-1])
    splits = split_examples(parts, strata, request, by="rarest tag of a row")
    _check_splits(splits.rows, labels=labels, source=name)
    return task_of(name, tables, request, kind=TaskKind(Goal.TAGS, labels, MAX_LENGTH), splits=splits)


def _read_rows(table: Table, words: str, tags: str, group: str | None = None) -> list[_TaggedRow]:
    """Read a table, whose tags must be all names or all numbers."""
    found, kinds = [], {}
    for row, where in zip(table.rows, table.places(), strict=True):
        own = read_words(row, words, where=where)
        given = read_tags(row, tags, count=len(own), where=where)
        for tag in given:
            kinds.setdefault(type(tag), f"{show_cell(tag)} in {where}")
        stays_with = read_text(row, group, where=where) if group else ""
        found.append(_TaggedRow(own, tuple(map(str, given)), stays_with, where))
    if len(kinds) > 1:
        raise DataError(
            f"The tags in column '{tags}' are of several types: {', '.join(kinds.values())}. Write all in one way."
        )
    return found


def _find_tags(read: Sequence[Sequence[_TaggedRow]], tables: Sequence[Table]) -> tuple[str, ...]:
    """Collect the tags of the training table: first O, or else the most frequent one, then by type.

    Rare marks of known types are taken from later tables too, such as the B- of IOB1, which stands between neighbours
    alone: no training row has them, so none is predicted.

    Raises:
        DataError: for tags that hardly ever repeat, and for a type of a later table that the training table lacks.
    """
    counts = Counter(tag for row in read[0] for tag in row.tags)
    if len(counts) > max(4, counts.total() / 2):
        raise DataError(
            f"{tables[0].name} has {len(counts)} different tags for {counts.total()} tokens, for example "
            f"{shorten(sorted(counts)[:3])}, but tags must repeat. Name another column in --label."
        )
    known = set(counts)
    for row in (row for rows in read[1:] for row in rows):
        known |= {tag for tag in row.tags if tag not in known and adds_a_mark(tag, known)}
        unseen = [tag for tag in row.tags if tag not in known]
        if unseen:
            raise DataError(
                f"The tag '{unseen[0]}' in {row.where} is none of {tables[0].name}. Training tags: "
                f"{shorten(sorted(counts))}. Add training rows with this tag, or remove its rows."
            )
    first = OUTSIDE if OUTSIDE in counts else counts.most_common(1)[0][0]
    if rare := known - counts.keys():
        logger.info("%s of later tables are marks that %s lacks of its types.", shorten(sorted(rare)), tables[0].name)
    return (first, *sorted(known - {first}, key=by_type))


def _to_examples(rows: Sequence[_TaggedRow], *, words: str, labels: Sequence[str]) -> list[Example]:
    index: Mapping[str, int] = {name: i for i, name in enumerate(labels)}
    return [
        Example(_fields(f"{words}:", row.words), tuple(index[tag] for tag in row.tags), group=row.group)
        for row in rows
    ]


def _fields(label: str, words: Sequence[str]) -> Fields:
    return tuple((label, word) for word in words)


def _rarest_tags(examples: Sequence[Example]) -> list[int]:
    """The tag of each example that the fewest examples have, so that drawn splits share rare ones too."""
    counts = Counter(tag for example in examples for tag in set(example.tags))
    return [min(set(example.tags), key=lambda tag: (counts[tag], tag)) for example in examples]


def _check_splits(rows: Mapping[str, Sequence[Example]], *, labels: Sequence[str], source: str) -> None:
    """Refuse splits from which nothing can be learned; warn of tags that training lacks, and of rows on two sides."""
    check_sizes(rows, source=source)
    found = {tag for example in rows[TRAIN] for tag in example.tags}
    if len(found) < 2:
        raise DataError(
            f"All tokens of the {len(rows[TRAIN])} training rows of {source} have the tag '{labels[min(found)]}', but "
            "at least two different tags are needed. Check the column of the tags, or raise max_train_samples."
        )
    missing = [label for i, label in enumerate(labels) if i not in found]
    if missing:
        logger.warning("No training row of %s has the tags %s; they can't be learned.", source, shorten(missing))
    warn_of_leaks(rows, source=source)


def make(request: FormatRequest) -> "TaskFormat":
    """Make the converter for an encoder or a decoder.

    Raises:
        DataError: for an encoder-decoder.
        ModelError: for a tokenizer without word ids.
    """
    from peftsearch.tasks.word_tags import WordTagFormat

    if request.is_encoder_decoder:
        raise DataError(
            f"{request.task.name} has a tag for each token, but an encoder-decoder model writes texts. Take an "
            "encoder or a decoder."
        )
    return WordTagFormat(request.task, request.tokenizer, request.max_length)


def read_fields(row: Row, columns: Sequence[tuple[str, str]], where: str) -> Fields:
    """Read a row's words as fields, all of one label; as `TaskFormatEntry` says."""
    ((label, column),) = columns
    return _fields(label, read_words(row, column, where=where))


def answer(output: Any, example: Example, reading: TaskReading) -> dict[str, Any]:
    """The tag of each word; a word beyond the limit has the first one."""
    (tags,) = name_tags(complete_tags([output], [example]), reading.labels)
    return {PREDICTION: tags}


register_task_format(
    TaskFormatEntry(
        _NAME,
        "a tag for each word: lists of tokens and tags, or CoNLL files",
        (Goal.TAGS,),
        recognise=recognise,
        load=load,
        make=make,
        read_fields=read_fields,
        answer_columns=lambda reading: (PREDICTION,),
        answer=answer,
        readers={**dict.fromkeys((".txt", ".iob", ".iob2", ".bio"), read_conll), ".conllu": read_conllu},
    )
)
