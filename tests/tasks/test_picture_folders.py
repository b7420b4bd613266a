"""Folders of pictures become tables, and folders of splits become three."""

import logging
import os

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.picture_folders import list_pictures, require_class_folders, split_folders


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    return folder


def test_the_label_of_a_picture_is_the_folder_that_it_lies_in(tmp_path):
    touch(tmp_path, "cat/b.png", "cat/a.JPG", "dog/in/c.webp", "d.bmp", ".hidden.png", ".git/e.png")
    assert list_pictures(tmp_path) == [
        {"image": "cat/a.JPG", "label": "cat"},
        {"image": "cat/b.png", "label": "cat"},
        {"image": "d.bmp"},
        {"image": "dog/in/c.webp", "label": "in"},
    ]


def test_other_files_are_told(tmp_path, caplog):
    touch(tmp_path, "cat/a.png", "cat/a.gif", "notes.txt")
    with caplog.at_level(logging.WARNING):
        assert len(list_pictures(tmp_path)) == 1
    assert "2 files" in caplog.text
    assert "cat/a.gif, notes.txt" in caplog.text


def test_a_folder_without_pictures_is_refused_with_what_it_has(tmp_path):
    with pytest.raises(DataError, match="no pictures \\(no files\\)"):
        list_pictures(tmp_path)
    with pytest.raises(DataError, match=r"no pictures \(2 of .csv, 1 of no suffix\).*name its file"):
        list_pictures(touch(tmp_path, "a.csv", "b.csv", "c"))


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    touch(tmp_path, "there/cat/a.png", "data/dog/b.png")
    os.symlink(tmp_path / "there" / "cat", tmp_path / "data" / "cat")
    os.symlink(tmp_path / "data", tmp_path / "data" / "dog" / "again")
    assert [row["image"] for row in list_pictures(tmp_path / "data")] == ["cat/a.png", "dog/b.png"]


@pytest.mark.parametrize("path", ["a.png", "cat/in/a.png"])
def test_a_picture_outside_of_a_class_folder_is_named(tmp_path, path):
    rows = list_pictures(touch(tmp_path, "cat/x.png", path))
    with pytest.raises(DataError, match=f"'{path}' of .* does not lie in a class folder"):
        require_class_folders(rows, tmp_path)


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (("train/cat", "validation/cat", "test/cat"), ["train", "validation", "test"]),
        (("train/cat", "val/cat"), ["train", "val"]),
        (("train/cat", "test/cat"), ["train", "test"]),
        (("cat", "dog"), [""]),
        # Vehicles, of which one is a train.
        (("train", "bus"), [""]),
        (("train", "test"), [""]),
    ],
)
def test_folders_of_splits_are_told_from_classes(tmp_path, folders, names):
    touch(tmp_path, *(f"{folder}/a.png" for folder in folders))
    assert split_folders(tmp_path) == [tmp_path / name for name in names]


def test_two_names_of_one_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="'validation' and 'dev', which are names of one split"):
        split_folders(touch(tmp_path, "train/cat/a.png", "validation/cat/a.png", "dev/cat/a.png"))
