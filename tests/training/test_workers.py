"""Work in processes of ray, their cards, and what happens if they die."""

import importlib.util
import os
from pathlib import Path

import pytest

from peftsearch.training.workers import Workers, share_of_cards


def die_before(start: int, folder: str) -> int:
    """Count the starts in a folder, and die without a word in those before the given one."""
    number = len(list(Path(folder).iterdir())) + 1
    (Path(folder) / str(number)).touch()
    if number < start:
        os._exit(1)
    return number


@pytest.mark.parametrize("cards", [1, 2, 3, 8])
@pytest.mark.parametrize("workers", range(1, 30))
def test_all_workers_find_room_on_whole_cards(cards, workers):
    share = share_of_cards(cards, workers=workers)
    assert 0 < share <= 1 and cards * int(1 / share + 1e-9) >= workers
    # Ray counts in ten-thousandths.
    assert round(share * 10_000) == pytest.approx(share * 10_000)
    fewer = int(1 / share + 1e-9) - 1
    assert cards * fewer < workers, "with a larger share some would have to wait"


def test_without_cards_workers_have_none():
    assert share_of_cards(0, workers=2) == 0


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
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
