"""The user's words and tags: read exactly or refused with their row, split, and told what they are."""

import gzip
import json
import logging
from collections import Counter
from pathlib import Path

import pandas
import pytest

from peftsearch.errors import DataError, UnknownNameError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.task import Goal
from peftsearch.tasks.user_tables import data_files

CITY = {"tokens": ["in", "Oslo"], "tags": ["O", "B-city"]}
NAME = {"tokens": ["Ida", "was", "here"], "tags": ["B-name", "O", "O"]}
ROWS = [CITY, NAME] * 10


def write(path: Path, rows: list[dict]) -> str:
    if path.suffix == ".parquet":
        pandas.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".conll":
        lines = ("\n".join(map(" ".join, zip(row["tokens"], row["tags"]))) for row in rows)
        path.write_text("\n\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def load(*paths: str, **settings):
    return load_task(TaskRequest(data=",".join(paths), **settings))


@pytest.mark.parametrize("suffix", ["jsonl", "json", "parquet", "conll"])
def test_every_file_with_lists_gives_the_same_task(tmp_path, suffix, caplog):
    caplog.set_level(logging.INFO)
    paths = [write(tmp_path / f"{name}.{suffix}", ROWS) for name in ("train", "valid", "test")]
    task = load(*paths)
    assert task.goal is Goal.TAGS and task.labels == ("O", "B-city", "B-name")
    first, second = task.splits["train"][:2]
    assert first.words == ("in", "Oslo") and first.tags == (0, 1)
    assert second.words == ("Ida", "was", "here") and second.tags == (2, 0, 0)
    assert task.selection_metric == "entity_f1"
    assert f"The task format is tokens, since the columns 'tokens' and 'tags' of train.{suffix} hold" in caplog.text
    assert f"The tags of train.{suffix} are BIO" in caplog.text


def test_other_columns_are_named(tmp_path):
    rows = [{"words": row["tokens"], "ner": row["tags"], "doc": i // 2} for i, row in enumerate(ROWS)]
    task = load(write(tmp_path / "a.jsonl", rows), text="words", label="ner", group="doc")
    assert task.labels == ("O", "B-city", "B-name")
    groups = [{example.group for example in split} for split in task.splits.values()]
    assert not groups[0] & groups[1] and not groups[1] & groups[2]


def test_texts_with_labels_stay_texts_whatever_stands_beside_them(tmp_path):
    rows = [{"text": f"a {i}", "label": "xy"[i % 2], **row} for i, row in enumerate(ROWS)]
    path = write(tmp_path / "a.jsonl", rows)
    assert load(path).goal is Goal.CLASSIFICATION
    assert load(path, task_format="tokens").goal is Goal.TAGS
    with pytest.raises(UnknownNameError, match="Did you mean 'tokens'"):
        load(path, task_format="token")


def test_a_drawn_split_shares_rare_tags(tmp_path):
    rows = ROWS * 5 + [{"tokens": ["x", "y"], "tags": ["O", "B-rare"]}] * 21
    task = load(write(tmp_path / "a.jsonl", rows))
    rare = task.labels.index("B-rare")
    counts = Counter(name for name, split in task.splits.items() for example in split if rare in example.tags)
    assert counts == {"train": 17, "validation": 2, "test": 2}
    assert sum(map(len, task.splits.values())) == 121
    assert task.split_rule.endswith("about 80/10/10 train/validation/test in each rarest tag of a row")


def test_tags_without_spans_are_scored_by_words(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    rows = [{"tokens": ["a", "b", "c"], "tags": ["X", "V", "X"]}, {"tokens": ["a", "d"], "tags": ["X", "V"]}] * 10
    task = load(write(tmp_path / "pos.jsonl", rows))
    # Without O, the most frequent tag comes first.
    assert task.labels == ("X", "V") and task.metrics == ("token_accuracy",)
    assert "mark no spans (BIO, IOB1, IOBES, BILOU, BMES), so each word's tag counts by itself" in caplog.text
    with pytest.raises(DataError, match="'entity_f1' counts spans, but the tags of pos mark none: 'X', 'V'"):
        load(str(tmp_path / "pos.jsonl"), metric="entity_f1")


def test_whole_numbers_are_names_of_tags(tmp_path):
    rows = [{"tokens": ["a", "b", "c"], "tags": [0, 0, 7]}] * 20
    task = load(write(tmp_path / "coded.jsonl", rows))
    assert task.labels == ("0", "7") and task.metrics == ("token_accuracy",)


@pytest.mark.parametrize(
    "row,message",
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "There are 2 tokens, but 1 tags in column 'tags' in row 3 of a.jsonl"),
        (
            {"tokens": ["a", 5], "tags": ["O", "O"]},
            "Token 2 in column 'tokens' is 5 in row 3 of a.jsonl, but tokens are",
        ),
        ({"tokens": ["a"], "tags": [None]}, "Tag 1 in column 'tags' is None in row 3 of a.jsonl, but tags are names"),
        ({"tokens": ["a"], "tags": [True]}, "Tag 1 in column 'tags' is True in row 3"),
        ({"tokens": ["a"], "tags": [["O", "B-x"]]}, r"\['O', 'B-x'\] in row 3 of a.jsonl.* spans can't overlap"),
        ({"tokens": ["a"], "tags": [{"start": 0}]}, "{'start': 0} in row 3 of a.jsonl.* spans can't overlap"),
        ({"tokens": ["a"], "tags": [0.5]}, "Tag 1 in column 'tags' is 0.5 in row 3"),
        ({"tokens": ["a"], "tags": [" "]}, "Tag 1 in column 'tags' is ' ' in row 3"),
        (
            {"tokens": "a b", "tags": ["O", "O"]},
            "tokens in column 'tokens' are 'a b' in row 3 of a.jsonl, but must be a",
        ),
        ({"tokens": ["a"], "tags": "O"}, "tags in column 'tags' are 'O' in row 3 of a.jsonl, but must be a list"),
        ({"tokens": ["a"], "tags": [1]}, "several types: 'O' in row 1 of a.jsonl, 1 in row 3 of a.jsonl"),
        ({"tokens": [], "tags": []}, r"1 of 23 rows of a.jsonl lack a value: row 3 \(tokens, tags\)"),
        ({"tokens": None, "tags": ["O"]}, r"1 of 23 rows of a.jsonl lack a value: row 3 \(tokens\)"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.jsonl", [CITY, NAME, row, *ROWS]))


def test_rows_without_words_can_be_left_out(tmp_path):
    path = write(tmp_path / "a.jsonl", [CITY, {"tokens": [], "tags": []}, *ROWS])
    task = load(path, drop_missing=True)
    assert task.source["left_out"] == [1] and sum(map(len, task.splits.values())) == 21


def test_a_rare_mark_of_a_known_type_may_stand_in_later_files_alone(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    rows = [{"tokens": ["in", "Oslo"], "tags": ["O", "I-city"]}, {"tokens": ["here"], "tags": ["O"]}] * 6
    later = [*rows, {"tokens": ["Oslo", "Rome"], "tags": ["I-city", "B-city"]}]
    paths = [write(tmp_path / f"{name}.jsonl", found) for name, found in (("train", rows), ("valid", later))]
    task = load(*paths)
    assert task.labels == ("O", "B-city", "I-city")
    assert "'B-city' of later tables are marks that train.jsonl lacks of its types" in caplog.text


def test_a_tag_that_training_lacks_is_named_with_its_row(tmp_path):
    other = [CITY, {"tokens": ["a"], "tags": ["B-club"]}]
    paths = [write(tmp_path / "train.jsonl", ROWS), write(tmp_path / "valid.jsonl", other)]
    with pytest.raises(
        DataError, match=r"The tag 'B-club' in row 2 of valid.jsonl is none of train.jsonl. Training tags"
    ):
        load(*paths)


@pytest.mark.parametrize(
    "rows,message",
    [
        ([{"tokens": ["a"], "tags": ["O"]}] * 20, "All tokens of the 16 training rows of a have the tag 'O'"),
        ([{"tokens": [f"{i}"], "tags": [f"{i}"]} for i in range(20)], "20 different tags for 20 tokens"),
        ([CITY] * 2, "gives 0 rows for the validation split"),
    ],
)
def test_tables_from_which_nothing_can_be_learned_are_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.jsonl", rows))


def test_files_that_hold_no_lists_say_which_do(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("tokens,tags\na b,O O\n")
    with pytest.raises(DataError, match="must be a list. Files of lists are jsonl, json, parquet and conll"):
        load(str(path), task_format="tokens")


@pytest.mark.parametrize("name", ["names.txt", "names.iob", "names.iob2", "names.bio", "names.txt.gz"])
def test_conll_files_by_other_names_are_read_where_the_format_is_asked_for(tmp_path, name):
    text = "Ida B-name\nruns O\n\nhe O\n\n" * 10
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    task = load(str(path), task_format="tokens")
    assert task.goal is Goal.TAGS and task.labels == ("O", "B-name") and task.name == "names"
    with pytest.raises(DataError, match=r"The extension '\.\w+2?' of '.*' does not tell .*Give --task_format tokens"):
        load(str(path))


def test_a_missing_file_of_such_a_name_is_no_data_set_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="There is no file 'data/train.txt'"):
        load("data/train.txt", task_format="tokens")
    assert data_files("data/train.txt") == ["data/train.txt"]
    with pytest.raises(UnknownNameError, match="Did you mean 'tokens'"):
        load("data/train.txt", task_format="token")
