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
        if not request.param.startswith("demo") and not folder.is_dir():
            pytest.skip(f"no data for {request.param}")
        try:
            return load_task(TaskRequest(task=request.param, data_dir=str(data_dir)))
        except DataError as error:
            pytest.skip(str(error)) if request.param == "demo" else pytest.fail(str(error))


class TestTextToText(TaskTests):
    @pytest.fixture
    def task(self, tmp_path):
        rows = [{"source": f"{i} and 1", "target": f"makes {i + 1}"} for i in range(30)]
        path = tmp_path / "sums.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(TaskRequest(data=str(path), metric="loss,final_number"))


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


class TestSeveralLabels(TaskTests):
    @pytest.fixture
    def task(self, tmp_path):
        sets = (["late", "rude"], ["late"], [])
        rows = [{"text": f"no {i}", "label": sets[i % 3]} for i in range(60)]
        path = tmp_path / "complaints.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(TaskRequest(data=str(path)))


class TestSpans(TaskTests):
    @pytest.fixture
    def task(self, tmp_path):
        rows = [
            {
                "question": "Where?",
                "context": f"{'far ' * (i % 40)}in Oslo",
                "answer": "Oslo",
                "answer_start": 4 * (i % 40) + 3,
            }
            for i in range(80)
        ]
        path = tmp_path / "places.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(TaskRequest(data=str(path)))


ASKED, ANSWERED = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


class TestNextTokens(TaskTests):
    @pytest.fixture(params=["text", "prompt", "messages"])
    def task(self, tmp_path, request):
        rows = {
            "text": [{"text": f"text {i}"} for i in range(20)],
            "prompt": [{"prompt": f"{i}+1=", "completion": f"{i + 1}"} for i in range(20)],
            "messages": [{"messages": [{**ASKED, "content": f"{i}"}, ANSWERED]} for i in range(20)],
        }[request.param]
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(TaskRequest(data=str(path)))
