"""The user's several labels: read exactly or refused with their row, split, and told what they are."""

import json
import logging
from collections import Counter
from pathlib import Path

import pandas
import pytest

from peftsearch.errors import DataError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.task import Goal

ROWS = [
    {"text": "late and rude", "label": ["time", "staff"]},
    {"text": "late again", "label": ["time"]},
    {"text": "nothing to say", "label": []},
    {"text": "kind people", "label": ["staff"]},
] * 6


def write(path: Path, rows: list[dict]) -> str:
    if path.suffix == ".parquet":
        pandas.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".csv":
        pandas.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def load(*paths: str, **settings):
    return load_task(TaskRequest(data=",".join(paths), **settings))


def as_columns(row: dict) -> dict:
    return {"text": row["text"], "time": int("time" in row["label"]), "staff": "staff" in row["label"]}


def as_text(row: dict) -> dict:
    return {"text": row["text"], "label": " ; ".join(row["label"])}


@pytest.mark.parametrize(
    "suffix,form,settings,reason",
    [
        ("jsonl", dict, {}, "the column 'label' of train.jsonl holds lists"),
        ("parquet", dict, {}, "the column 'label' of train.parquet holds lists"),
        ("jsonl", as_text, {"label_separator": ";"}, "labels are separated by ';'"),
        ("csv", as_text, {"label_separator": ";"}, "labels are separated by ';'"),
        ("csv", as_columns, {"label": "staff,time"}, "--label names 2 columns"),
        ("jsonl", as_columns, {"label": "staff, time"}, "--label names 2 columns"),
    ],
)
def test_lists_separators_and_columns_give_the_same_task(tmp_path, suffix, form, settings, reason, caplog):
    caplog.set_level(logging.INFO)
    rows = [form(row) for row in ROWS]
    paths = [write(tmp_path / f"{name}.{suffix}", rows) for name in ("train", "valid", "test")]
    task = load(*paths, **settings)
    assert task.goal is Goal.LABELS and task.labels == ("staff", "time")
    assert [example.label_indices for example in task.splits["train"][:4]] == [(0, 1), (1,), (), (0,)]
    assert task.splits["train"][0].fields == (("text:", "late and rude"),)
    assert task.metrics == ("label_micro_f1", "label_macro_f1", "mean_average_precision", "subset_accuracy")
    assert f"The task format is several_labels, since {reason}" in caplog.text


def test_whole_numbers_are_names_of_labels(tmp_path):
    rows = [{"text": "a", "label": [2, 10]}, {"text": "b", "label": [10]}] * 10
    assert load(write(tmp_path / "a.jsonl", rows)).labels == ("2", "10")


def test_one_label_a_row_stays_a_class_and_words_stay_words(tmp_path):
    rows = [{"text": f"a {i}", "label": "xy"[i % 2], "time": 1} for i in range(20)]
    assert load(write(tmp_path / "a.jsonl", rows)).goal is Goal.CLASSIFICATION
    words = [{"text": ["a", "b"], "label": ["X", "Y"]}, {"text": ["b"], "label": ["Y"]}] * 10
    assert load(write(tmp_path / "b.jsonl", words), text="text", label="label").goal is Goal.TAGS


def test_a_drawn_split_shares_rare_labels(tmp_path):
    rare = [{"text": f"x {i}", "label": ["time", "rare"]} for i in range(21)]
    task = load(write(tmp_path / "a.jsonl", ROWS * 5 + rare))
    place = task.labels.index("rare")
    counts = Counter(name for name, split in task.splits.items() for one in split if place in one.label_indices)
    assert counts == {"train": 17, "validation": 2, "test": 2}
    assert task.split_rule.endswith("in each rarest label of a row")


@pytest.mark.parametrize(
    "row,message",
    [
        (
            {"text": "a", "label": "time"},
            "labels in column 'label' are 'time' in row 3 of a.jsonl, but must be a list",
        ),
        (
            {"text": "a", "label": [None]},
            "Label 1 in column 'label' is None in row 3 of a.jsonl, but labels are names",
        ),
        ({"text": "a", "label": ["time", " "]}, "Label 2 in column 'label' is ' ' in row 3"),
        ({"text": "a", "label": [True]}, "Label 1 in column 'label' is True in row 3"),
        ({"text": "a", "label": [0.5]}, "Label 1 in column 'label' is 0.5 in row 3"),
        (
            {"text": "a", "label": ["time", "time "]},
            "label 'time' is there twice in column 'label' in row 3 of a.jsonl",
        ),
        ({"text": "a", "label": [1]}, "several types: 'time' in row 1 of a.jsonl, 1 in row 3 of a.jsonl"),
        ({"text": "a", "label": None}, r"1 of 25 rows of a.jsonl lack a value: row 3 \(label\)"),
        ({"text": None, "label": []}, r"1 of 25 rows of a.jsonl lack a value: row 3 \(text\)"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.jsonl", [*ROWS[:2], row, *ROWS[2:]]))


@pytest.mark.parametrize(
    "rows,settings,message",
    [
        (
            [{"text": "a", "p": 1, "q": 0}, {"text": "b", "p": 0.3, "q": 1}],
            {"label": "p,q"},
            "label in column 'p' is 0.3 in row 2 of a.jsonl, but each of several label columns holds 1",
        ),
        (
            [{"text": "a", "label": "x;;y"}] * 20,
            {"label_separator": ";"},
            "Label 2 in column 'label' is '' in row 1 of a.jsonl",
        ),
        (
            ROWS,
            {"label_separator": ";"},
            "labels in column 'label' are a list in row 1 of a.jsonl.* but label_separator",
        ),
        (
            [{"text": "a", "p": 1, "q": 0}] * 20,
            {"label": "p,q", "label_separator": ";"},
            "label_separator is ';', but --label names 2 columns",
        ),
        (
            ROWS,
            {"goal": "regression"},
            "goal is 'regression', but the task format several_labels predicts several labels",
        ),
        (ROWS, {"metric": "macro_f1"}, "'macro_f1' is one of classes, but the labels of a are several labels"),
        ([{"text": "a", "label": ["x"]}, {"text": "b", "label": []}] * 10, {}, "has 1 labels, 'x', in 20 rows"),
        ([{"text": "a", "label": [f"{i}"]} for i in range(20)], {}, "20 different labels, which it gives 20 times"),
        (
            [{"text": "a", "label": ["x", "y"]}] * 20,
            {},
            r"All 16 training rows of a have the same labels \('x', 'y'\), from which nothing can be learned",
        ),
        ([{"text": "a", "p": 0, "q": 0}] * 20, {"label": "p,q"}, r"have the same labels \(none\)"),
    ],
)
def test_data_and_settings_that_do_not_fit_are_refused(tmp_path, rows, settings, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.jsonl", rows), **settings)


def test_a_setting_of_several_labels_is_refused_for_other_formats(tmp_path):
    rows = [{"text": "a", "label": "xy"[i % 2]} for i in range(20)]
    with pytest.raises(
        DataError, match="label_separator is ';', but the task format is texts, which does not read it"
    ):
        load(write(tmp_path / "a.jsonl", rows), label_separator=";", task_format="texts")


def test_a_label_that_training_lacks_is_named_with_its_row(tmp_path):
    other = [*ROWS[:1], {"text": "a", "label": ["food"]}]
    paths = [write(tmp_path / "train.jsonl", ROWS), write(tmp_path / "valid.jsonl", other)]
    with pytest.raises(DataError, match="The label 'food' in row 2 of valid.jsonl is none of train.jsonl. Training"):
        load(*paths)


def test_labels_that_training_never_or_always_has_are_told(tmp_path, caplog):
    rows = [{"text": f"a {i}", "p": i % 2, "q": 0, "r": 1} for i in range(20)]
    load(write(tmp_path / "a.jsonl", rows), label="p,q,r")
    assert "No training row of a has the labels 'q'; they can't be learned" in caplog.text
    assert "Every training row of a has the labels 'r'; when they are missing can't be learned" in caplog.text
