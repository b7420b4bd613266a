"""Copies of folders in which something works."""

import shutil
import time

import fsspec
import pytest

from peftsearch.errors import StorageError
from peftsearch.mirror import Mirror
from peftsearch.mirror_upkeep import kept_up


@pytest.fixture
def mirror(tmp_path, bucket) -> Mirror:
    return Mirror(tmp_path, f"{bucket}/copy")


def checkpoint(mirror: Mirror, step: int, text: str = "") -> None:
    folder = mirror.folder / "checkpoints" / f"step-{step}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tensors").write_text(text or str(step))


def wait_for(claim) -> None:
    until = time.monotonic() + 5
    while not claim() and time.monotonic() < until:
        time.sleep(0.01)
    assert claim()


def test_what_changes_is_copied_while_the_work_goes_on(mirror):
    with kept_up(mirror, every=0.01):
        checkpoint(mirror, 10)
        wait_for(lambda: mirror.names() == ["checkpoints/step-10/tensors"])
        checkpoint(mirror, 20)
        shutil.rmtree(mirror.folder / "checkpoints" / "step-10")
        wait_for(lambda: mirror.names() == ["checkpoints/step-20/tensors"])


def test_the_end_of_the_work_is_copied_however_it_comes(mirror):
    with pytest.raises(KeyboardInterrupt), kept_up(mirror, every=1000):
        checkpoint(mirror, 10)
        raise KeyboardInterrupt
    assert mirror.names() == ["checkpoints/step-10/tensors"]
    with kept_up(mirror, every=1000):
        checkpoint(mirror, 20)
    assert mirror.names() == ["checkpoints/step-10/tensors", "checkpoints/step-20/tensors"]


def test_checkpoints_that_were_replaced_are_deleted_before_anything_is_written(mirror, monkeypatch):
    """Else the record of a first start that failed could stand beside that start's checkpoints."""
    store, order = fsspec.filesystem("memory"), []
    put_file, rm_file = type(store).put_file, type(store).rm_file
    with kept_up(mirror, every=1000):
        checkpoint(mirror, 10)
    with kept_up(mirror, every=1000):

        def put(self, source, target, *arguments, **options):
            order.append(f"put {target.rpartition('copy/')[2]}")
            return put_file(self, source, target, *arguments, **options)

        def remove(self, path):
            order.append(f"remove {path.rpartition('copy/')[2]}")
            return rm_file(self, path)

        monkeypatch.setattr(type(store), "put_file", put)
        monkeypatch.setattr(type(store), "rm_file", remove)
        (mirror.folder / "failed_start.json").write_text("{}")
        checkpoint(mirror, 10, "of another start")
    step = "checkpoints/step-10/tensors"
    assert order == ["put .mirror", f"remove {step}", "put failed_start.json", f"put {step}"]


def test_storage_that_fails_for_a_while_does_not_stop_the_work(mirror, monkeypatch, caplog):
    store = fsspec.filesystem("memory")
    put_file, is_down = type(store).put_file, False

    def put(self, *arguments, **options):
        if is_down:
            raise ConnectionError("no route")
        return put_file(self, *arguments, **options)

    monkeypatch.setattr(type(store), "put_file", put)
    with kept_up(mirror, every=0.01):
        is_down = True
        checkpoint(mirror, 10)
        wait_for(lambda: "The run goes on, and its copy is tried again" in caplog.text)
        is_down = False
        wait_for(lambda: mirror.names() == ["checkpoints/step-10/tensors"])


def test_work_that_went_well_fails_if_its_end_cannot_be_copied(mirror, monkeypatch):
    with pytest.raises(StorageError, match="no route"), kept_up(mirror, every=1000):
        checkpoint(mirror, 10)

        def put(self, *arguments, **options):
            raise ConnectionError("no route")

        monkeypatch.setattr(type(fsspec.filesystem("memory")), "put_file", put)
