"""Files are written whole or not at all."""

import pytest

from peftsearch.errors import StorageError
from peftsearch.files import append_row, cut_rows, new_folder, read_rows, write_json, write_text


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert path.read_text() == '{\n  "x": 1\n}\n' and list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    folder = tmp_path / "adapter"
    for text in ("old", "new"):
        with new_folder(folder) as new:
            (new / text).write_text(text)
            assert not (folder / text).exists()
        assert [path.name for path in folder.iterdir()] == [text]
    with pytest.raises(KeyError), new_folder(folder) as new:
        (new / "half").write_text("")
        raise KeyError
    assert [path.name for path in folder.iterdir()] == ["new"] and list(tmp_path.iterdir()) == [folder]


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (lambda p: write_text(p, "x"), lambda p: append_row(p, {"x": 1})):
        with pytest.raises(StorageError, match="Cannot write '.*file/inside'"):
            write(tmp_path / "file" / "inside")
    with pytest.raises(StorageError, match="Cannot write"), new_folder(tmp_path / "file" / "inside"):
        pass


def test_lines_are_added_in_their_order(tmp_path):
    for number in (1, 2):
        append_row(tmp_path / "deep" / "log", {"x": number})
    assert (tmp_path / "deep" / "log").read_text() == '{"x": 1}\n{"x": 2}\n'


def test_a_row_without_its_end_is_neither_read_nor_kept(tmp_path):
    path = tmp_path / "log.jsonl"
    cut_rows(path)
    assert read_rows(path) == [] and not path.exists()
    for i in range(3):
        append_row(path, {"x": i, "line": "\u2028"})
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"x": ')
    assert [row["x"] for row in read_rows(path)] == [0, 1, 2]
    cut_rows(path)
    assert path.read_bytes() == whole
    cut_rows(path, num_bytes=len(whole) - 1)
    assert [row["x"] for row in read_rows(path)] == [0, 1]
