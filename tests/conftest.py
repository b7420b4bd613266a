"""Every test is seeded, offline and on few threads."""

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate.utils.memory
import fsspec
import numpy
import pytest
import torch
import transformers
from small_runs import reviews, settings, tiny_folder  # noqa: F401  fixtures of every folder

import peftsearch  # noqa: F401  the tests start as users do
from peftsearch.report import charts
from peftsearch.report.charts import Chart
from peftsearch.report.run import map_chart
from peftsearch.run import finish
from peftsearch.run.proof import Proof
from peftsearch.run.saved_model import SavedModel
from peftsearch.run.verify import differences, measure

transformers.logging.set_verbosity_error()


def pytest_collection_finish():
    """Spare the garbage collector what imports made."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def unhurried():
    """No collection of garbage after each of accelerate's trainings, and no wait for the disk after each file.

    Processes that tests start, and kill, do both.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accelerate.utils.memory, "gc", SimpleNamespace(collect=lambda: 0))
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers for a test whatever ran before it."""
    random.seed(0)
    numpy.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def frozen():
    """Spare the garbage collector what earlier modules have imported and kept, too."""
    gc.collect()
    gc.freeze()


class NoFigure:
    """Takes every call of a figure, its axes and what is in them, and draws nothing."""

    def __init__(self, **options: Any):
        pass

    def __getattr__(self, name: str) -> "NoFigure":
        return self

    def __call__(self, *args: Any, **options: Any) -> "NoFigure":
        return self

    def __getitem__(self, key: Any) -> "NoFigure":
        return self

    def __iter__(self) -> Iterator["NoFigure"]:
        return iter((self, self))


@pytest.fixture(autouse=True, scope="module")
def undrawn(request):
    """Pages without their drawings, which take longer than a small run does.

    The tests of reports look at the drawings; those of the contracts lay them out, for the runs of every method.
    """
    folder = request.path.parent.name
    with pytest.MonkeyPatch.context() as patch:
        if folder != "report":
            patch.setattr(Chart, "svg", "<svg></svg>")
            patch.setattr(Chart, "png", b"")
        if folder not in ("report", "conformance"):
            patch.setattr(charts, "Figure", NoFigure)
            patch.setattr(map_chart, "Figure", NoFigure)
        yield


@pytest.fixture
def text_alone(monkeypatch):
    """Pages without their drawings, for those tests of reports that read the text."""
    monkeypatch.setattr(Chart, "svg", "<svg></svg>")
    monkeypatch.setattr(Chart, "png", b"")


@pytest.fixture(autouse=True, scope="module")
def checked_here():
    """Results that are loaded, counted and scored again in this process: a new one takes longer than a small run.

    `tests/run/test_export.py` and the runs that tests start as commands have the new process.
    """

    def check(saved: SavedModel, folder: Path, proof: Proof) -> dict[str, Any]:
        started = time.perf_counter()
        found = measure(saved, folder)
        assert not differences(proof, **found)
        return found | {"seconds": time.perf_counter() - started}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "verify", check)
        yield


@pytest.fixture
def bucket():
    """The URL of empty storage that all machines see."""
    store = fsspec.filesystem("memory")
    yield "memory://bucket"
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real GLUE and SuperGLUE files, which are not part of the project."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PEFTSEARCH_DATA_DIR", default))
    if not folder.is_dir():
        pytest.skip("the GLUE and SuperGLUE files are not beside the repository (set PEFTSEARCH_DATA_DIR)")
    return folder
