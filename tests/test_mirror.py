"""Copies of folders, in fsspec's storage in memory."""

import os

import fsspec
import pytest

from peftsearch.errors import StorageError
from peftsearch.mirror import Mirror


@pytest.fixture
def url():
    store = fsspec.filesystem("memory")
    yield "memory://bucket/copy"
    store.rm("/bucket", recursive=True) if store.exists("/bucket") else None


def written(folder, **files) -> None:
    for number, (name, text) in enumerate(files.items()):
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (number, number))


def content(folder) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_one_machine_sends_another_fetches(tmp_path, url):
    here, there = tmp_path / "here", tmp_path / "there"
    written(here, a__results_json="1", a__deep__weights="w", b__results_json="2")
    Mirror(here, url).send("a")
    Mirror(there, url).fetch()
    assert content(there) == {"a/results.json": "1", "a/deep/weights": "w"}
    assert Mirror(there, url).names() == ["a/deep/weights", "a/results.json"]


def test_fetching_changes_nothing_that_is_here_and_completing_nothing_that_is_there(tmp_path, url):
    here, there = tmp_path / "here", tmp_path / "there"
    written(here, a="mine")
    written(there, a="other", b="new")
    Mirror(there, url).send()
    Mirror(here, url).fetch()
    assert content(here) == {"a": "mine", "b": "new"}
    written(here, c="more")
    Mirror(here, url).complete()
    fresh = tmp_path / "fresh"
    Mirror(fresh, url).fetch()
    assert content(fresh) == {"a": "other", "b": "new", "c": "more"}


def test_sending_removes_there_what_is_gone_here_in_that_part_only(tmp_path, url):
    written(tmp_path, a__failed_json="x", a__kept="k", b__kept="k")
    mirror = Mirror(tmp_path, url)
    mirror.send()
    (tmp_path / "a" / "failed.json").unlink()
    (tmp_path / "b" / "kept").unlink()
    mirror.send("a")
    assert mirror.names() == ["a/kept", "b/kept"]


def test_files_arrive_in_the_order_in_which_they_were_written_and_results_are_fetched_last(tmp_path, url, monkeypatch):
    store, order = fsspec.filesystem("memory"), []
    for name in ("put_file", "get_file"):
        whole = getattr(type(store), name)

        def seen(self, first, second, *arguments, _whole=whole, **options):
            order.append(str(first).rpartition("/")[2])
            return _whole(self, first, second, *arguments, **options)

        monkeypatch.setattr(type(store), name, seen)
    here = tmp_path / "here"
    written(here, zeta="first", results_json="second", alpha="third")
    Mirror(here, url).send()
    Mirror(tmp_path / "there", url).fetch()
    assert order == ["zeta", "results.json", "alpha", "alpha", "zeta", "results.json"]


def test_locks_and_half_written_files_stay_where_they_are(tmp_path, url):
    written(tmp_path, kept="k")
    for name in (".lock", "results.json.tmp", ".adapter.tmp/weights", ".adapter.old/weights"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no")
    Mirror(tmp_path, url).send()
    assert Mirror(tmp_path, url).names() == ["kept"]


def test_a_name_that_leads_out_of_the_folder_is_not_fetched(tmp_path, url, monkeypatch):
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/copy/good", b"1")
    names = ["/bucket/copy/../../evil", "/bucket/copy/good"]
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "find", lambda self, path, **options: names)
        Mirror(tmp_path / "in" / "here", url).fetch()
    assert content(tmp_path) == {"in/here/good": "1"}


def test_without_a_url_nothing_happens(tmp_path):
    mirror = Mirror(tmp_path / "none")
    mirror.fetch()
    mirror.complete()
    mirror.send()
    mirror.send_files([tmp_path / "missing"])
    assert mirror.names() == [] and not (tmp_path / "none").exists()


def test_a_storage_that_cannot_be_had_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"Cannot read 'nowhere://x/y'.*Check the URL"):
        Mirror(tmp_path, "nowhere://x/y").fetch()
