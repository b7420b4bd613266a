"""Every registered task whose data is at hand, and a task of each format that reads the user's own."""

import json

import pytest
from shades import write_shades

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


class TestPictures(TaskTests):
    @pytest.fixture
    def task(self, tmp_path):
        return load_task(TaskRequest(data=str(write_shades(tmp_path / "shades", count=30))))


class TestTokens(TaskTests):
    @pytest.fixture
    def task(self, tmp_path):
        rows = [{"tokens": ["in", "Oslo", f"{i}"], "tags": ["O", "B-city" if i % 3 else "O", "O"]} for i in range(30)]
        path = tmp_path / "cities.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(TaskRequest(data=str(path)))
