"""Copies of folders, in fsspec's storage in memory."""

import os
from pathlib import Path

import fsspec
import pytest

from peftsearch.errors import RunFolderError, StorageError
from peftsearch.mirror import Mirror


@pytest.fixture
def url(bucket) -> str:
    return f"{bucket}/copy"


def written(folder, **files) -> None:
    for number, (name, text) in enumerate(files.items()):
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (number, number))


def content(folder) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".mirror")
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_what_one_machine_sends_another_brings(tmp_path, url):
    here, there = Mirror(tmp_path / "here", url), Mirror(tmp_path / "there", url)
    written(here.folder, a__results_json="1", a__deep__weights="w")
    here.send()
    there.bring()
    assert content(there.folder) == {"a/results.json": "1", "a/deep/weights": "w"}
    assert there.names() == ["a/deep/weights", "a/results.json"]


def test_the_machine_that_sent_last_keeps_what_it_did_since(tmp_path, url):
    mirror = Mirror(tmp_path, url)
    written(tmp_path, checkpoint="1", old="1")
    mirror.send()
    written(tmp_path, checkpoint="2", new="2")
    (tmp_path / "old").unlink()
    mirror.bring()
    assert content(tmp_path) == {"checkpoint": "2", "new": "2"}


def test_the_older_state_of_a_machine_makes_way_for_that_of_another(tmp_path, url):
    here, there = Mirror(tmp_path / "here", url), Mirror(tmp_path / "there", url)
    written(here.folder, checkpoint="1", failed_json="1")
    here.send()
    there.bring()
    written(there.folder, checkpoint="2", results_json="2")
    (there.folder / "failed.json").unlink()
    there.send()
    here.bring()
    assert content(here.folder) == {"checkpoint": "2", "results.json": "2"}
    written(here.folder, checkpoint="3")
    here.bring()
    assert content(here.folder)["checkpoint"] == "3", "from now on it is this machine's"


def test_what_arrived_in_part_is_brought_again(tmp_path, url, monkeypatch):
    here, there = Mirror(tmp_path / "here", url), Mirror(tmp_path / "there", url)
    written(here.folder, a="1", b="2")
    here.send()
    store = fsspec.filesystem("memory")
    with monkeypatch.context() as patch:
        get_file = type(store).get_file

        def fail_at_b(self, source, *arguments, **options):
            if source.endswith("b"):
                raise ConnectionError("the line is dead")
            return get_file(self, source, *arguments, **options)

        patch.setattr(type(store), "get_file", fail_at_b)
        with pytest.raises(StorageError, match=r"Cannot read 'memory://bucket/copy': ConnectionError: the line is"):
            there.bring()
    assert content(there.folder) == {"a": "1"}
    there.bring()
    assert content(there.folder) == {"a": "1", "b": "2"}


def test_a_folder_that_was_never_mirrored_is_not_replaced(tmp_path, url):
    here, there = Mirror(tmp_path / "here", url), Mirror(tmp_path / "there", url)
    written(here.folder, a="1")
    here.send()
    written(there.folder, a="mine")
    with pytest.raises(RunFolderError, match="both hold files"):
        there.bring()
    assert content(there.folder) == {"a": "mine"}


def test_sending_removes_there_what_is_gone_here_in_that_part_only(tmp_path, url):
    written(tmp_path, a__failed_json="x", a__kept="k", b__kept="k")
    mirror = Mirror(tmp_path, url)
    mirror.send()
    (tmp_path / "a" / "failed.json").unlink()
    (tmp_path / "b" / "kept").unlink()
    mirror.below("a").send()
    assert mirror.names() == ["a/kept", "b/kept"]


def test_single_files_are_fetched_where_they_lack(tmp_path, url):
    here, there = Mirror(tmp_path / "here", url), Mirror(tmp_path / "there", url)
    written(here.folder, a="1", b="2", c="3")
    here.send_files([here.folder / "a", here.folder / "b"])
    written(there.folder, b="mine")
    there.fetch_files(["a", "b", "c"])
    assert content(there.folder) == {"a": "1", "b": "mine"}


def test_files_arrive_in_the_order_in_which_they_were_written(tmp_path, url, monkeypatch):
    store, order = fsspec.filesystem("memory"), []
    put_file = type(store).put_file

    def seen(self, source, *arguments, **options):
        order.append(Path(source).name)
        return put_file(self, source, *arguments, **options)

    monkeypatch.setattr(type(store), "put_file", seen)
    written(tmp_path, zeta="first", results_json="second", alpha="third")
    Mirror(tmp_path, url).send()
    assert order == [".mirror", "zeta", "results.json", "alpha"]


def test_locks_and_half_written_files_stay_where_they_are(tmp_path, url):
    written(tmp_path, kept="k")
    for name in (".lock", "results.json.tmp", ".adapter.tmp/weights", ".adapter.old/weights"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no")
    Mirror(tmp_path, url).send()
    assert Mirror(tmp_path, url).names() == ["kept"]


@pytest.mark.parametrize("name", ["../../evil", "a/../../evil", "..\\..\\evil", "C:/evil", "linked/evil"])
def test_a_name_that_leads_out_of_the_folder_is_not_brought(tmp_path, url, monkeypatch, name):
    folder, store = tmp_path / "in" / "here", fsspec.filesystem("memory")
    (folder / "linked").parent.mkdir(parents=True)
    (folder / "linked").symlink_to(tmp_path)
    store.pipe({"/bucket/copy/good": b"1", "/evil": b"2"})
    names = [f"/bucket/copy/{name}", "/bucket/copy/good"]
    monkeypatch.setattr(type(store), "find", lambda self, path, **options: names)
    monkeypatch.setattr(type(store), "get_file", lambda self, source, target: Path(target).write_text("x"))
    Mirror(folder, url).bring()
    assert content(tmp_path) == {"in/here/good": "x"}


def test_a_folder_elsewhere_is_a_copy_too(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    url = (tmp_path / "not" / "yet" / "made").as_uri()
    written(here, a__b="1", c="2")
    Mirror(here, url).send()
    Mirror(there, url).bring()
    assert content(there) == {"a/b": "1", "c": "2"}


def test_without_a_url_nothing_happens(tmp_path):
    mirror = Mirror(tmp_path / "none")
    mirror.bring()
    mirror.send()
    mirror.send_files([tmp_path / "missing"])
    mirror.fetch_files(["missing"])
    assert mirror.names() == [] and mirror.below("a").url == "" and not (tmp_path / "none").exists()


def test_a_storage_that_cannot_be_had_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"Cannot read 'nowhere://x/y'.*Check the URL"):
        Mirror(tmp_path, "nowhere://x/y").bring()
