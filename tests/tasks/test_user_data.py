"""User data: formats, goals, splits, and an error for everything that doesn't fit."""

import gzip
import json
import logging

import pandas
import pytest
import torch

from peftsearch.errors import DataError
from peftsearch.tasks.load import load_task
from peftsearch.tasks.task import Goal, TaskRequest

_ROWS = [{"review": f"text {i}", "title": f"title {i}", "stars": ("bad", "good")[i % 2]} for i in range(30)]


def _write(folder, name, rows=_ROWS):
    path = folder / name
    frame = pandas.DataFrame(rows)
    if ".jsonl" in path.suffixes:
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(lines, mtime=0) if path.suffix == ".gz" else lines)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if ".tsv" in path.suffixes else ",", index=False)
    return str(path)


def _load(data, *, text="review", label="stars", **settings):
    return load_task(TaskRequest(data=data, text=text, label=label, **settings))


def _ratings(folder, ratings, name="train.jsonl"):
    return _write(folder, name, [{"review": f"text {i}", "stars": rating} for i, rating in enumerate(ratings)])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "tsv.gz", "jsonl.gz"])
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
        ("train.csv", b"review,stars\n\xff\xfe,1\n", "not UTF-8 text: byte 0xff in line 2. .*--encoding"),
        ("train.csv", b"\xef\xbb\xbfreview,stars\na,b\nc\xe9,d\n", "not UTF-8 text: byte 0xe9 in line 3"),
        (
            "train.csv.gz",
            gzip.compress(b"review,stars\na,b\n\xe9,1\n", mtime=0),
            "not UTF-8 text: byte 0xe9 in line 3",
        ),
        ("train.csv.gz", b"review,stars\na,b\n", "can't be read as csv: Not a gzipped file"),
        ("train.csv.gz", gzip.compress(b"review,stars\na,b\n" * 99, mtime=0)[:-12], "can't be read as csv"),
        ("train.parquet.gz", b"", "Unknown extension '.parquet.gz'"),
        ("train.jsonl", b'{"review": "a", "review": "b"}', "line 1: the key 'review' is there twice"),
        ("train.json", b'{"review": "a"}\n{"review": "b"}', "Name it .jsonl"),
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


def _with_gaps(*gaps):
    """Rows of which some, counted from 1, lack a column."""
    rows = [dict(row) for row in _ROWS]
    for number, column in gaps:
        rows[number - 1][column] = None
    return rows


@pytest.mark.parametrize("suffix", ["csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "jsonl.gz"])
def test_rows_without_a_text_or_a_label_are_named_at_once(tmp_path, suffix):
    gaps = [(3, "stars"), (5, "review"), *((number, "stars") for number in range(10, 16))]
    path = _write(tmp_path, f"train.{suffix}", _with_gaps(*gaps))
    message = (
        rf"8 of 30 rows of train.{suffix} lack a value: row 3 \(stars\), row 5 \(review\), row 10 \(stars\), "
        r"row 11 \(stars\), row 12 \(stars\) and 3 more. .*--drop_missing"
    )
    with pytest.raises(DataError, match=message):
        _load(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_with_gaps_are_left_out_and_counted(tmp_path, suffix, caplog):
    path = _write(tmp_path, f"train.{suffix}", _with_gaps((3, "stars"), (5, "review")))
    task = _load(path, drop_missing=True)
    read = {example.fields[0][1] for split in task.splits.values() for example in split}
    assert read == {f"text {i}" for i in range(30)} - {"text 2", "text 4"}
    assert (
        f"2 of 30 rows of train.{suffix} lack a value: row 3 (stars), row 5 (review). They are left out" in caplog.text
    )
    assert task.source["left_out"] == [2] and task.source["rows"] == [28]
    assert "left_out" not in _load(_write(tmp_path, f"whole.{suffix}"), drop_missing=True).source


def test_later_errors_name_the_row_of_the_file_also_after_rows_are_left_out(tmp_path):
    rows = [{"review": "", "stars": 1.5}, *({"review": f"text {i}", "stars": i + 0.5} for i in range(29))]
    rows[0]["review"], rows[20]["stars"] = None, "x"
    path = tmp_path / "train.csv"
    pandas.DataFrame(rows).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"'x' in column 'stars' is not a finite number in row 21 of train.csv"):
        _load(str(path), drop_missing=True)


def test_whole_numbers_with_a_gap_stay_classes_in_parquet(tmp_path):
    rows = [{"review": f"text {i}", "stars": None if i == 4 else 1 + i % 3} for i in range(30)]
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    assert _load(str(tmp_path / "train.parquet"), drop_missing=True).labels == ("1", "2", "3")


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
        _load(_write(tmp_path, f"train.{suffix}", rows), task_format="texts")


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


def test_a_decimal_comma_is_named_as_one(tmp_path):
    ratings = [f"{i + 0.5}" for i in range(29)] + ["12,5"]
    message = "'12,5' in column 'stars' is not a finite number in row 30 of train.csv.*It has a decimal comma"
    with pytest.raises(DataError, match=message):
        _load(_ratings(tmp_path, ratings, name="train.csv"))


def test_a_label_among_the_texts_is_refused(tmp_path):
    with pytest.raises(DataError, match="--text names the column 'stars', which is the label"):
        _load(_ratings(tmp_path, ["up", "down"] * 15), text="review,stars")


def test_classes_that_are_never_scored_are_named(tmp_path, caplog):
    _load(_ratings(tmp_path, ["up", "down"] * 20 + ["rare"], name="films.csv"))
    assert "No row of the validation split of films has the labels 'rare'." in caplog.text
    assert "No row of the test split of films has the labels 'rare'." in caplog.text


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


def test_delimiter_and_encoding_are_those_of_the_user(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes("".join(f"größe {i};{'gut' if i % 2 else 'schlecht'}\n" for i in range(-1, 30)).encode("cp1252"))
    path.write_bytes(b"review;stars\n" + path.read_bytes())
    task = _load(str(path), delimiter=";", encoding="cp1252")
    texts = {example.fields[0][1] for split in task.splits.values() for example in split}
    assert texts == {f"größe {i}" for i in range(-1, 30)} and task.labels == ("gut", "schlecht")
    with pytest.raises(DataError, match="not UTF-8 text: byte 0xf6 in line 2"):
        _load(str(path), delimiter=";")
    with pytest.raises(DataError, match="Its columns: review;stars. .*--delimiter ';'"):
        _load(str(path), encoding="cp1252")


def test_a_tab_can_be_named_in_words(tmp_path):
    path = _write(tmp_path, "train.tsv")
    (tmp_path / "films.csv").write_text((tmp_path / "train.tsv").read_text())
    for word in ("tab", "\\t", "\t"):
        assert _load(str(tmp_path / "films.csv"), delimiter=word).splits == _load(path).splits


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("train.csv", {"delimiter": "ab"}, "delimiter is 'ab', but must be one character"),
        ("train.csv", {"encoding": "utf-99"}, "encoding is 'utf-99', which is none of a text"),
        ("train.csv", {"encoding": "base64"}, "encoding is 'base64', which is none of a text"),
        ("train.jsonl", {"delimiter": ";"}, "has no delimiter, but delimiter is ';'"),
        ("train.parquet", {"encoding": "cp1252"}, "knows its encoding, but encoding is 'cp1252'"),
    ],
)
def test_settings_of_reading_that_do_not_fit_are_refused(tmp_path, name, settings, message):
    with pytest.raises(DataError, match=message):
        _load(_write(tmp_path, name), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"task_format": "texts"},
        {"goal": "regression"},
        {"group": "x"},
        {"drop_missing": True},
        {"delimiter": ";"},
        {"encoding": "cp1252"},
    ],
)
def test_settings_of_own_data_are_refused_beside_a_task(settings):
    (name,) = settings
    with pytest.raises(
        DataError, match=rf"{name} is .* but the task 'demo' knows how its data is read. Leave --{name} out"
    ):
        load_task(TaskRequest(task="demo", **settings))


def test_the_goal_can_be_said_and_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    whole, decimal = (
        _ratings(tmp_path, [1, 2, 3] * 10, "whole.csv"),
        _ratings(tmp_path, [0.5, 1.0] * 15, "decimal.csv"),
    )
    assert _load(whole).labels == ("1", "2", "3")
    assert "labels in 'stars' are whole numbers: classes, unless --goal regression" in caplog.text
    task = _load(whole, goal="regression")
    assert task.goal is Goal.REGRESSION and {example.target for example in task.splits["train"]} == {1.0, 2.0, 3.0}
    assert _load(decimal).goal is Goal.REGRESSION
    assert "labels in 'stars' are decimal numbers: a regression, unless --goal classification" in caplog.text
    assert _load(decimal, goal="classification").labels == ("0.5", "1.0")
    with pytest.raises(DataError, match="'bad' in column 'stars' is not a finite number in row 1"):
        _load(_write(tmp_path, "words.csv"), goal="regression")


@pytest.mark.parametrize(
    ("labels", "goal", "message"),
    [
        ([1, "1"], "auto", "are of several types: 1 in row 1, '1' in row 2"),
        ([True, 1], "auto", "are of several types: True in row 1, 1 in row 2"),
        ([True, "true"], "auto", "are of several types: True in row 1, 'true' in row 2"),
        ([1, 1.0], "classification", "are of several types: 1 in row 1, 1.0 in row 2"),
        ([True, False], "regression", "label True in column 'stars' is not a finite number"),
        ([1, [1]], "auto", "is a list"),
        (["a", {"b": 1}], "auto", "is an object"),
    ],
)
def test_labels_of_several_types_are_refused(tmp_path, labels, goal, message):
    with pytest.raises(DataError, match=message):
        _load(_ratings(tmp_path, labels * 15), goal=goal)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([True, False], ("False", "True")),
        (["1_0", "2_0"], ("1_0", "2_0")),
        (["9" * 5000, "1"], ("1", "9" * 5000)),
        ([10**400, 1], ("1", str(10**400))),
        (["01", "1", "+1"], ("+1", "01", "1")),
    ],
)
def test_labels_of_odd_types_are_read_as_they_are(tmp_path, labels, names):
    assert _load(_ratings(tmp_path, labels * 15)).labels == names


def test_classes_that_look_alike_are_said(tmp_path, caplog):
    _load(_ratings(tmp_path, ["01", "1", "1 "] * 15))
    assert "differ in the spaces around them are one class" in caplog.text
    assert "labels '01' and '1' of train.jsonl are two classes, but one number" in caplog.text
    _load(_ratings(tmp_path, ["Good", "good", "NaN"] * 15))
    assert "labels 'Good' and 'good' of train.jsonl differ in case alone, and are two classes" in caplog.text
    assert "label 'NaN' of train.jsonl is a class like any other. If it stands for a missing label" in caplog.text


def _of_authors(rows=60, authors=12):
    return [{"review": f"text {i}", "stars": ("bad", "good")[i % 2], "author": i % authors} for i in range(rows)]


@pytest.mark.parametrize("authors", [3, 4, 12, 60])
@pytest.mark.parametrize("num_files", [1, 2])
def test_a_group_never_stands_on_two_sides_of_a_drawn_split(tmp_path, authors, num_files):
    files = [_write(tmp_path, "train.csv", _of_authors(authors=authors))]
    if num_files == 2:
        files.append(_write(tmp_path, "valid.csv", _of_authors(authors=authors)))
    for seed in range(3):
        task = _load(",".join(files), group="author", seed=seed)
        drawn = ("train", "validation", "test")[num_files - 1 :]
        sides = [{example.group for example in task.splits[name]} for name in drawn]
        assert sum(map(len, sides)) == authors and set().union(*sides) == {str(i) for i in range(authors)}
        assert sum(len(task.splits[name]) for name in task.splits) == 60 * num_files
    assert "by the groups of 'author' (seed 2)" in task.split_rule


def test_grouped_splits_hold_about_a_tenth_each_and_both_classes(tmp_path):
    task = _load(_write(tmp_path, "train.csv", _of_authors(400, 80)), group="author")
    for name in ("validation", "test"):
        assert len(task.splits[name]) == pytest.approx(40, abs=10)
        assert {example.target for example in task.splits[name]} == {0, 1}
    other = _load(_write(tmp_path, "train.csv", _of_authors(400, 80)), group="author", seed=1)
    assert other.splits["test"] != task.splits["test"]


def test_equal_texts_stay_together_where_the_texts_are_the_groups(tmp_path, caplog):
    rows = [{"review": f"text {i % 20}", "stars": ("bad", "good")[i % 2]} for i in range(100)]
    _load(_write(tmp_path, "films.csv", rows), group="review")
    assert "texts of a training row" not in caplog.text


def test_too_few_groups_and_missing_groups_are_refused(tmp_path):
    with pytest.raises(DataError, match="60 rows to split have 2 groups in column 'author', which are too few"):
        _load(_write(tmp_path, "train.csv", _of_authors(authors=2)), group="author")
    with pytest.raises(DataError, match=r"1 of 60 rows of gap.csv lack a value: row 1 \(author\)"):
        _load(_write(tmp_path, "gap.csv", [{**_of_authors()[0], "author": None}, *_of_authors()[1:]]), group="author")
    with pytest.raises(DataError, match="has no column 'writer'"):
        _load(_write(tmp_path, "train.csv", _of_authors()), group="writer")


def test_groups_on_two_sides_of_the_users_files_are_counted(tmp_path, caplog):
    files = [_write(tmp_path, f"{name}.csv", _of_authors(rows, 12)) for name, rows in (("a", 60), ("b", 6), ("c", 7))]
    _load(",".join(files), group="author")
    assert "6 of 6 validation rows of a have the 'author' of a training row" in caplog.text
    assert "7 of 7 test rows of a have the 'author' of a training row" in caplog.text


def test_max_eval_samples_cuts_validation_and_test_by_the_seed(tmp_path):
    rows = [{"review": f"text {i}", "stars": ("bad", "good")[i % 2]} for i in range(200)]
    path = _write(tmp_path, "films.csv", rows)
    whole, cut, other = _load(path), _load(path, max_eval_samples=6), _load(path, max_eval_samples=6, seed=0)
    assert cut.split_record()["sizes"] == {"train": 160, "validation": 6, "test": 6}
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0)).tolist()[:6]
    assert cut.splits["test"] == tuple(whole.splits["test"][i] for i in order) == other.splits["test"]
    assert cut.splits["train"] == whole.splits["train"]
    assert "at most 6 rows of validation and test each (seed 0)" in cut.split_rule
    assert _load(path, max_eval_samples=20) == whole
    demo = load_task(TaskRequest(task="demo", max_eval_samples=7))
    assert [len(demo.splits[name]) for name in ("train", "validation", "test")] == [1500, 7, 7]
    with pytest.raises(DataError, match="max_eval_samples is -1"):
        _load(path, max_eval_samples=-1)
