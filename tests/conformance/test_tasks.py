"""Every registered task whose data is at hand."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks import TASKS, TaskRequest, load_task
from peftsearch.testing import TaskTests


class TestTasks(TaskTests):
    @pytest.fixture(params=TASKS)
    def task(self, request, data_dir):
        folder = data_dir / {"superglue/rte": "superglue_rte"}.get(request.param, request.param.split("/")[-1])
        if request.param != "demo" and not folder.is_dir():
            pytest.skip(f"no data for {request.param}")
        try:
            return load_task(TaskRequest(task=request.param, data_dir=str(data_dir)))
        except DataError as error:
            pytest.skip(str(error)) if request.param == "demo" else pytest.fail(str(error))
