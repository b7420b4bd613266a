"""Files are written whole or not at all."""

import pytest

from peftsearch.errors import StorageError
from peftsearch.files import append_line, new_folder, write_json, write_text


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
    for write in (lambda p: write_text(p, "x"), lambda p: append_line(p, "x")):
        with pytest.raises(StorageError, match="Cannot write '.*file/inside'"):
            write(tmp_path / "file" / "inside")
    with pytest.raises(StorageError, match="Cannot write"), new_folder(tmp_path / "file" / "inside"):
        pass


def test_lines_are_added_in_their_order(tmp_path):
    for line in ("one", "two"):
        append_line(tmp_path / "deep" / "log", line)
    assert (tmp_path / "deep" / "log").read_text() == "one\ntwo\n"
