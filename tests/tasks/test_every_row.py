"""Every row of a generated table is read exactly, or an error names it: no format loses, shifts or rewrites any."""

import csv
import gzip
import io
import json
import math
import re
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from peftsearch.errors import DataError
from peftsearch.tasks.load import load_task
from peftsearch.tasks.task import Task, TaskRequest

TABLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

# Marks, quotes, delimiters, breaks and look-alikes of null: what readers of tables trip over.
SOUP = st.lists(
    st.sampled_from(['"', '""', "'", ",", ";", "\t", "\n", "\r\n", "\r", "\\", "\\n", " ", "\ufeff", "\u2028", "\x00"])
    | st.sampled_from(["a", "é", "🙂", "NA", "null", "None", "nan", "#", "=1+1", "1", "0.10", "true", "[1]", "{}"]),
    max_size=6,
).map("".join)
TEXTS = SOUP | st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([1.0, 0.5, math.nan, math.inf, 10**400, 1e300])
)
NESTED = st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), SCALARS, max_size=2)
LABELS = st.sampled_from(["up", "down", "1", "1.0", "01", " up", "true", "", " ", "1_0", "nan"]) | SCALARS | NESTED


def loaded(path: Path, **changes) -> Task | str:
    """The task, or the message of the error; no other one may come."""
    try:
        return load_task(TaskRequest(data=str(path), text="text", label="label", **changes))
    except DataError as error:
        return str(error)


def rows_of(task: Task) -> list[tuple[str, object]]:
    """Text and label of every example, in any order; classes by name."""
    examples = [example for split in task.splits.values() for example in split]
    return sorted(
        (example.fields[0][1], task.labels[int(example.number)] if task.labels else example.number)
        for example in examples
    )


def names_a_row(message: str) -> bool:
    return re.search(r"(row|line|rows|lines) \d", message) is not None


def is_about_the_table(message: str) -> bool:
    """Whether a message is about the labels or rows as a whole, which no single row is to blame for."""
    return any(
        part in message
        for part in (
            "rows for the",
            "have the label",
            "but classes must repeat",
            "has no column",
            "is empty",
            "not UTF-8",
        )
    )


def written(rows, suffix: str, folder: Path) -> Path:
    """Write rows of text and label as a proper writer of the format does."""
    path = folder / f"rows{suffix}"
    packed = suffix.endswith(".gz")
    kind = suffix.removesuffix(".gz")
    if kind == ".csv":
        file = io.StringIO(newline="")
        csv.writer(file).writerows([("text", "label"), *rows])
        data = file.getvalue().encode()
    elif kind == ".tsv":
        data = "\n".join("\t".join(cells) for cells in [("text", "label"), *rows]).encode()
    else:
        objects = [dict(zip(("text", "label"), row, strict=True)) for row in rows]
        text = json.dumps(objects) if kind == ".json" else "\n".join(map(json.dumps, objects))
        data = text.encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


# Enough good rows below the generated ones, so that the table as a whole makes a task.
GOOD = [(f"plain {i}", ("up", "down")[i % 2]) for i in range(40)]


@TABLES
@given(texts=st.lists(TEXTS, max_size=5), suffix=st.sampled_from([".csv", ".json", ".jsonl", ".csv.gz", ".jsonl.gz"]))
def test_texts_are_read_to_the_letter_from_formats_that_can_hold_any(texts, suffix, tmp_path_factory):
    rows = [(text, "up") for text in texts] + GOOD
    found = loaded(written(rows, suffix, tmp_path_factory.mktemp("rows")))
    # A csv has no way to tell an empty cell from a missing one.
    empty = [i + 1 for i, text in enumerate(texts) if not text and ".csv" in suffix]
    if empty:
        assert isinstance(found, str) and all(f"row {number} (text)" in found for number in empty), found
    else:
        assert isinstance(found, Task), found
        assert rows_of(found) == sorted(rows)


def is_rows_itself(text: str) -> bool:
    """Whether a text reads as several rows of two cells in a .tsv file."""
    lines = [line.split("\t") for line in re.split("\r\n|\r|\n", text)]
    return len(lines) > 1 and all(len(cells) == 2 and all(map(str.strip, cells)) for cells in lines)


@TABLES
@given(texts=st.lists(TEXTS, max_size=5), suffix=st.sampled_from([".tsv", ".tsv.gz"]))
def test_texts_of_a_tsv_are_read_to_the_letter_or_their_line_is_named(texts, suffix, tmp_path_factory, caplog):
    caplog.clear()
    # A text with a tab before each of its breaks makes good rows of two cells, which nobody can tell from rows.
    assume(not any(is_rows_itself(f"{text}\tup") for text in texts))
    rows = [(text, "up") for text in texts] + GOOD
    found = loaded(written(rows, suffix, tmp_path_factory.mktemp("rows")))
    if any(mark in text for text in texts for mark in "\t\n\r") or not all(texts):
        # A break at the start of a cell is an empty line to any reader.
        assert names_a_row(found) if isinstance(found, str) else "empty lines among the rows" in caplog.text, found
    else:
        assert isinstance(found, Task) and rows_of(found) == sorted(rows), found
        is_quoted = any(text[0] == text[-1] == '"' and text.count('"') == 2 < len(text) for text in texts)
        assert not is_quoted or "cells of rows.tsv" in caplog.text.replace(".gz", "")


@TABLES
@given(labels=st.lists(LABELS, min_size=1, max_size=5), suffix=st.sampled_from([".json", ".jsonl", ".jsonl.gz"]))
@pytest.mark.parametrize("goal", ["auto", "classification", "regression"])
def test_labels_of_every_json_type_are_read_exactly_or_named(labels, suffix, goal, tmp_path_factory):
    rows = [(f"odd {i}", label) for i, label in enumerate(labels) for _ in range(2)]
    rows += [
        (f"plain {i}", (labels[0], "down")[i % 2] if isinstance(labels[0], str) else labels[0]) for i in range(40)
    ]
    found = loaded(written(rows, suffix, tmp_path_factory.mktemp("rows")), goal=goal, task_format="texts")
    if isinstance(found, str):
        assert names_a_row(found) or is_about_the_table(found), found
        return
    kinds = {bool if isinstance(label, bool) else str if isinstance(label, str) else float for _, label in rows}
    assert len(kinds) == 1
    expected = [(text, str(label).strip() if found.labels else float(label)) for text, label in rows]
    assert rows_of(found) == sorted(expected)


@TABLES
@given(labels=st.lists(st.none() | st.integers(1, 3), max_size=9), with_gaps=st.booleans())
def test_whole_numbers_of_a_parquet_file_stay_whole(labels, with_gaps, tmp_path_factory):
    rows = [{"text": f"row {i}", "label": label} for i, label in enumerate([*labels, *[1, 2] * 20])]
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    gaps = [i + 1 for i, label in enumerate(labels) if label is None]
    found = loaded(path, drop_missing=with_gaps)
    if gaps and not with_gaps:
        assert isinstance(found, str) and f"{len(gaps)} of {len(rows)} rows of rows.parquet lack a value" in found
    elif isinstance(found, Task):
        assert rows_of(found) == sorted((row["text"], str(row["label"])) for row in rows if row["label"] is not None)


LINES = st.lists(st.sampled_from(["a", "b", '"', '"a"', '""', "a b", "", " ", "up"]), min_size=1, max_size=4)


@TABLES
@given(
    lines=st.lists(LINES, max_size=6), mark=st.sampled_from([",", ";", "\t"]), suffix=st.sampled_from([".csv", ".tsv"])
)
def test_ragged_lines_are_refused_and_none_is_lost(lines, mark, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / f"rows{suffix}"
    own = [mark.join(cells) for cells in lines]
    path.write_text("\n".join([mark.join(("text", "label")), *own, *map(mark.join, GOOD)]))
    found = loaded(path, delimiter=mark)
    if isinstance(found, str):
        assert names_a_row(found) or is_about_the_table(found), found
        return
    # Python's own reader knows which breaks stand in quoted cells, which tsv has not. Only empty lines are no rows.
    quoting = csv.QUOTE_NONE if suffix == ".tsv" else csv.QUOTE_MINIMAL
    with path.open(newline="") as file:
        _, *kept = filter(None, csv.reader(file, delimiter=mark, quoting=quoting))
    assert len(rows_of(found)) == len(kept)


@TABLES
@given(values=st.lists(st.sampled_from("abcdefgh"), min_size=40, max_size=60), seed=st.integers(0, 5))
def test_drawn_groups_are_whole_or_refused(values, seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows = [f"row {i},{('up', 'down')[i % 2]},{value}" for i, value in enumerate(values)]
    path.write_text("\n".join(["text,label,group", *rows]))
    found = loaded(path, group="group", seed=seed)
    if isinstance(found, str):
        assert "are too few" in found or is_about_the_table(found), found
        return
    sides = [{example.group for example in split} for split in found.splits.values()]
    assert sum(map(len, sides)) == len(set(values)) == len(set().union(*sides))
    assert sum(len(split) for split in found.splits.values()) == len(values)


@TABLES
@given(data=st.binary(max_size=60), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".csv.gz", ".parquet"]))
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "shift_jis"])
def test_any_bytes_are_read_or_refused(data, suffix, encoding, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / f"rows{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") and len(data) % 2 else data)
    loaded(path, encoding=encoding)
