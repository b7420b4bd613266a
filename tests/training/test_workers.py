"""Work in processes of ray that die."""

import importlib.util
import os
from pathlib import Path

import pytest

from peftsearch.training.workers import Workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
]


def die_before(start: int, folder: str) -> int:
    """Count the starts in a folder, and die without a word in those before the given one."""
    number = len(list(Path(folder).iterdir())) + 1
    (Path(folder) / str(number)).touch()
    if number < start:
        os._exit(1)
    return number


def test_work_starts_again_where_its_process_dies_but_not_for_ever(tmp_path, monkeypatch):
    # Workers import this file by its name.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    folders = [tmp_path / name for name in ("once", "always")]
    for folder in folders:
        folder.mkdir()
    workers = Workers(count=2)
    with workers.started() as ray:
        submit = workers.remote(ray, die_before)
        once, always = submit(2, str(folders[0])), submit(9, str(folders[1]))
        assert ray.get(once) == 2
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(always)
    assert len(list(folders[1].iterdir())) == 3, "a first start and two more"
