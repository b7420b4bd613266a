"""Folders and tables of pictures become tasks, whose examples are known by their content."""

import csv
import json
import logging
import shutil

import pytest
from PIL import Image
from shades import SHADES, write_shades, write_splits

from peftsearch.errors import DataError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.task import Goal


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    return write_shades(tmp_path_factory.mktemp("data") / "shades", count=40)


def write_table(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def rows_of(folder, column="path"):
    """A row for each picture, by its path from the folder's parent."""
    return [
        {column: str(path.relative_to(folder.parent)), "label": path.parent.name} for path in folder.rglob("*.png")
    ]


def test_a_folder_of_class_folders_is_split_by_class(shades, caplog):
    with caplog.at_level(logging.INFO):
        task = load_task(TaskRequest(data=str(shades)))
    assert "The task format is pictures, since the column 'image' of shades names pictures" in caplog.text
    assert (task.name, task.goal, task.labels, task.task_format) == (
        "shades",
        Goal.CLASSIFICATION,
        tuple(sorted(SHADES)),
        "pictures",
    )
    assert {name: len(rows) for name, rows in task.splits.items()} == {"train": 32, "validation": 4, "test": 4}
    assert task.metrics == ("accuracy", "macro_f1")
    for example in task.splits["test"]:
        assert example.fields == (
            ("image:", str(shades / task.labels[int(example.number)] / example.fields[0][1][-7:])),
        )


def test_folders_of_splits_are_used_as_given(tmp_path):
    task = load_task(TaskRequest(data=str(write_splits(tmp_path / "given"))))
    assert (task.name, task.split_rule) == ("given", "three files as given")
    assert {name: len(rows) for name, rows in task.splits.items()} == {"train": 48, "validation": 16, "test": 16}


def test_three_folders_may_be_named_one_by_one(tmp_path):
    folder = write_splits(tmp_path / "given")
    named = load_task(TaskRequest(data=",".join(str(folder / name) for name in ("train", "validation", "test"))))
    assert named == load_task(TaskRequest(data=str(folder)))


def test_a_table_names_pictures_by_paths_from_its_folder(shades):
    path = write_table(shades.parent / "table.csv", rows_of(shades))
    task = load_task(TaskRequest(data=path))
    assert task.labels == tuple(sorted(SHADES))
    assert sum(map(len, task.splits.values())) == 40
    assert {label for example in task.splits["train"] for label, _ in example.fields} == {"path:"}


def test_other_columns_are_named(shades):
    rows = [{"file": row["path"], "kind": row["label"], "day": str(i % 8)} for i, row in enumerate(rows_of(shades))]
    path = write_table(shades.parent / "other.csv", rows)
    task = load_task(TaskRequest(data=path, text="file", label="kind", group="day"))
    days = {name: {example.group for example in rows} for name, rows in task.splits.items()}
    assert not days["train"] & days["validation"] and not days["train"] & days["test"]


def test_texts_that_end_like_pictures_stay_texts_beside_a_column_of_texts(tmp_path):
    rows = [{"text": f"see {i}", "image": f"{i}.png", "label": "ab"[i % 2]} for i in range(20)]
    task = load_task(TaskRequest(data=write_table(tmp_path / "texts.csv", rows)))
    assert task.task_format == ""
    assert task.splits["train"][0].fields[0][0] == "text:"


def test_examples_are_the_same_wherever_the_folder_lies(shades, tmp_path):
    moved = shutil.copytree(shades, tmp_path / "elsewhere" / "shades")
    first, second = (load_task(TaskRequest(data=str(folder))).split_record() for folder in (shades, moved))
    assert first == second
    changed = next((moved / "dark").iterdir())
    Image.new("RGB", (8, 8)).save(changed)
    assert load_task(TaskRequest(data=str(moved))).split_record()["sha256"] != first["sha256"]


def test_equal_files_in_training_and_test_are_told(tmp_path, caplog):
    folder = write_splits(tmp_path / "given")
    shutil.copy(next((folder / "train" / "dark").iterdir()), folder / "test" / "dark" / "copy.png")
    load_task(TaskRequest(data=str(folder)))
    assert "1 of 17 test pictures of given are equal files to training pictures" in caplog.text


def test_a_suffix_of_another_format_is_told(tmp_path, caplog):
    folder = write_shades(tmp_path / "shades", count=20)
    Image.new("RGB", (8, 8)).save(folder / "dark" / "photo.png", format="JPEG")
    load_task(TaskRequest(data=str(folder)))
    assert "1 pictures of shades have another format than their suffix says" in caplog.text
    assert "'photo.png is JPEG'" in caplog.text


def test_a_broken_picture_is_named_before_any_training(tmp_path):
    folder = write_shades(tmp_path / "shades", count=20)
    (folder / "dark" / "broken.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"dark/broken.png' \(row 11 of shades\) is none"):
        load_task(TaskRequest(data=str(folder)))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"goal": "regression"}, "goal is 'regression', but the task format pictures predicts classes"),
        ({"label": "kind"}, "has no column 'kind'. Its columns: image, label"),
        ({"metric": "rmse"}, "The metric 'rmse' is one of numbers"),
        ({"encoding": "cp1252"}, "knows its encoding"),
        ({"delimiter": ";"}, "has no delimiter"),
    ],
)
def test_settings_that_do_not_fit_are_refused(shades, request_, words):
    with pytest.raises(DataError, match=words):
        load_task(TaskRequest(data=str(shades), **request_))


def test_classes_of_several_types_are_named_with_their_rows(shades):
    rows = [{**row, "label": i % 2 if i != 3 else "1"} for i, row in enumerate(rows_of(shades))]
    path = shades.parent / "types.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"'label' of types.jsonl are of several types: 0 in row 1, '1' in row 4"):
        load_task(TaskRequest(data=str(path)))


def test_a_row_that_names_no_file_is_named(shades):
    rows = rows_of(shades)
    rows[2] = {"path": "shades/gone.png", "label": "dark"}
    path = write_table(shades.parent / "gone.csv", rows)
    with pytest.raises(DataError, match="'shades/gone.png' in column 'path' of row 3 of gone.csv is not there"):
        load_task(TaskRequest(data=path))
