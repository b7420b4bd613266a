"""User data: formats, goals, splits, and an error for everything that doesn't fit."""

import json
import logging

import pandas
import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.load import load_task
from peftsearch.tasks.task import Goal, TaskRequest

_ROWS = [{"review": f"text {i}", "title": f"title {i}", "stars": ("bad", "good")[i % 2]} for i in range(30)]


def _write(folder, name, rows=_ROWS):
    path = folder / name
    frame = pandas.DataFrame(rows)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return str(path)


def _load(data, *, text="review", label="stars", **settings):
    return load_task(TaskRequest(data=data, text=text, label=label, **settings))


def _ratings(folder, ratings, name="train.jsonl"):
    return _write(folder, name, [{"review": f"text {i}", "stars": rating} for i, rating in enumerate(ratings)])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_every_format_gives_the_same_task(tmp_path, suffix):
    task = _load(_write(tmp_path, f"film.{suffix}"), text="title, review")
    assert (task.name, task.goal, task.labels) == ("film", Goal.CLASSIFICATION, ("bad", "good"))
    examples = [example for split in task.splits.values() for example in split]
    expected = {((("title:", r["title"]), ("review:", r["review"])), int(r["stars"] == "good")) for r in _ROWS}
    assert {(example.fields, example.target) for example in examples} == expected
    assert len(examples) == 30


def test_two_files_halve_the_second(tmp_path):
    data = f"{_write(tmp_path, 'train.csv')},{_write(tmp_path, 'valid.csv', _ROWS[:11])}"
    assert _load(data).split_record()["sizes"] == {"train": 30, "validation": 5, "test": 6}


def test_three_files_are_taken_as_they_are(tmp_path):
    files = [
        _write(tmp_path, "train.csv"),
        _write(tmp_path, "b.csv", _ROWS[:4]),
        _write(tmp_path, "c.csv", _ROWS[4:7]),
    ]
    task = _load(",".join(files))
    assert [example.fields[0][1] for example in task.splits["test"]] == ["text 4", "text 5", "text 6"]
    assert task.name == tmp_path.name


def test_split_record_is_json_and_differs_with_the_seed(tmp_path):
    data = _write(tmp_path, "train.csv")
    first, again, other = (_load(data, seed=seed).split_record() for seed in (0, 0, 1))
    assert json.loads(json.dumps(first)) == again
    assert first["sha256"]["test"] != other["sha256"]["test"]


def test_integer_labels_are_sorted_by_value(tmp_path):
    assert _load(_ratings(tmp_path, [10, 9, 100] * 10)).labels == ("9", "10", "100")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_decimal_labels_make_a_regression(tmp_path, suffix):
    task = _load(_ratings(tmp_path, [0.5, 1.0, 1.5] * 10, name=f"train.{suffix}"))
    assert (task.goal, task.labels, task.metrics) == (Goal.REGRESSION, (), ("pearson", "spearman", "rmse", "mae"))
    assert {example.target for example in task.splits["train"]} == {0.5, 1.0, 1.5}


def test_cells_that_read_none_or_na_are_text(tmp_path):
    task = _load(_write(tmp_path, "train.csv", [{**row, "review": "None"} for row in _ROWS]))
    assert task.splits["train"][0].fields == (("review:", "None"),)
    rows = [{"review": str(i), "stars": ("NA", "null")[i % 2]} for i in range(30)]
    assert _load(_write(tmp_path, "labels.csv", rows)).labels == ("NA", "null")


def test_max_train_samples_leaves_validation_and_test(tmp_path):
    sizes = _load(_write(tmp_path, "train.csv"), max_train_samples=6).split_record()["sizes"]
    assert sizes["train"] == 6
    assert sizes["validation"] > 0 and sizes["test"] > 0


def test_a_missing_column_names_those_there(tmp_path):
    with pytest.raises(DataError, match=r"train.csv has no column 'body'. Its columns: review, title, stars"):
        _load(_write(tmp_path, "train.csv"), text="body")
    with pytest.raises(DataError, match="no column 'sentiment'"):
        _load(_write(tmp_path, "train.csv"), label="sentiment")


def test_one_class_only_is_refused(tmp_path):
    with pytest.raises(DataError, match="have the label 'good', but at least two"):
        _load(_write(tmp_path, "train.csv", _ROWS[1::2]))


@pytest.mark.parametrize("content", ["", "review,stars\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(DataError, match="train.csv"):
        _load(str(tmp_path / "train.csv"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.xlsx", b"x", "Unknown extension '.xlsx'.*Known: .csv"),
        ("train.jsonl", b'{"review": 1}\n{"review"', "train.jsonl.*line 2"),
        ("train.json", b'{"review": 1}', "expected a list of objects"),
        ("train.parquet", b"no parquet", "can't be read as parquet"),
        ("train.csv", b"review,stars\n\xff\xfe,1\n", "not UTF-8"),
    ],
)
def test_unreadable_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        _load(str(tmp_path / name))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        _load(str(tmp_path / "train.csv"))


def test_a_hub_id_without_network_says_what_to_do(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="'nobody/nothing' can't be loaded"):
        _load("nobody/nothing")


def test_labels_unseen_in_training_are_named(tmp_path):
    rows = [*_ROWS[:4], {**_ROWS[4], "stars": "superb"}]
    with pytest.raises(DataError, match=r"valid.csv has labels that train.csv has not: 'superb'"):
        _load(f"{_write(tmp_path, 'train.csv')},{_write(tmp_path, 'valid.csv', rows)}")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("column", "message"), [("review", "text in column 'review' is null"), ("stars", "label.*null")]
)
def test_a_null_cell_names_its_row(tmp_path, suffix, column, message):
    rows = [*_ROWS[:2], {**_ROWS[2], column: None}, *_ROWS[3:]]
    with pytest.raises(DataError, match=f"{message} in row 3 of train.{suffix}"):
        _load(_write(tmp_path, f"train.{suffix}", rows))


@pytest.mark.parametrize("suffix", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("stars", ["price", "staff"], "label in column 'stars' is a list"),
        ("stars", [0, 1, 1], "label in column 'stars' is a list"),
        ("review", [{"role": "user", "content": "hi"}], "text in column 'review' is a list"),
        ("review", {"role": "user"}, "text in column 'review' is an object"),
    ],
)
def test_a_list_or_an_object_is_no_text_and_no_label(tmp_path, suffix, column, value, message):
    rows = [{**row, column: value} for row in _ROWS]
    with pytest.raises(DataError, match=f"{message} in row 1 of train.{suffix}: .*SearchTrainer"):
        _load(_write(tmp_path, f"train.{suffix}", rows))


def test_texts_on_two_sides_of_a_split_are_counted(tmp_path, caplog):
    rows = [{"review": f"text {i % 20}", "stars": ("bad", "good")[i % 2]} for i in range(100)]
    task = _load(_write(tmp_path, "films.csv", rows))
    sizes = {name: len(examples) for name, examples in task.splits.items()}
    for name in ("validation", "test"):
        assert f"{sizes[name]} of {sizes[name]} {name} rows of films have the texts of a training row" in caplog.text
    caplog.clear()
    _load(_write(tmp_path, "once.csv"))
    assert "texts of a training row" not in caplog.text


@pytest.mark.parametrize("values", [[f"a long answer {i}" for i in range(30)], [100_000 + 7 * i for i in range(30)]])
def test_a_column_of_values_that_do_not_repeat_is_no_label(tmp_path, values):
    message = "label column 'stars' of films.csv has 30 different values in 30 rows.*classes must repeat.*--label"
    with pytest.raises(DataError, match=message):
        _load(_ratings(tmp_path, values, name="films.csv"))


def test_few_rows_a_class_are_said(tmp_path, caplog):
    _load(_ratings(tmp_path, [f"class {i % 6}" for i in range(48)], name="films.csv"))
    assert "films.csv has 48 rows for 6 classes: fewer than 10 a class" in caplog.text


def test_a_word_among_decimal_labels_names_its_row(tmp_path):
    ratings = [f"{i + 0.5}" for i in range(29)] + ["unknown"]
    with pytest.raises(DataError, match=r"'unknown' in column 'stars' is not a finite number in row 30 of train.csv"):
        _load(_ratings(tmp_path, ratings, name="train.csv"))


def test_too_few_rows_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"0 rows for the (validation|test) split"):
        _load(_write(tmp_path, "train.csv", _ROWS[:4]))


def test_a_class_lost_by_max_train_samples_is_logged(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    data = _ratings(tmp_path, [0, 1] * 20 + [2])
    for seed in range(3):
        _load(data, max_train_samples=6, seed=seed)
    assert "'2'" in caplog.text


def test_task_and_data_together_are_refused():
    with pytest.raises(DataError, match="Exactly one of task and data"):
        load_task(TaskRequest(task="demo", data="train.csv"))
    with pytest.raises(DataError, match="Exactly one of task and data"):
        load_task(TaskRequest())
