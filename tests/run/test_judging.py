"""What comes back from the workers of a race."""

from types import SimpleNamespace
from typing import Any

import pytest

from peftsearch.errors import DataError, TrainingError
from peftsearch.run.judging import _received


def test_a_worker_that_always_dies_is_named_with_what_it_trained():
    exceptions = pytest.importorskip("ray.exceptions")

    def get(reference):
        raise exceptions.WorkerCrashedError

    ray: Any = SimpleNamespace(get=get, exceptions=exceptions)
    with pytest.raises(TrainingError, match=r"that trained lnfit at 0.01 died each time.*Fewer --workers.*--resume"):
        _received(ray, None, "lnfit at 0.01")


def test_an_error_of_the_training_itself_stays_as_it_is():
    exceptions = pytest.importorskip("ray.exceptions")

    def get(reference):
        raise exceptions.RayTaskError("work", "its traceback", DataError("no rows")).as_instanceof_cause()

    ray: Any = SimpleNamespace(get=get, exceptions=exceptions)
    with pytest.raises(DataError):
        _received(ray, None, "lnfit at 0.01")
