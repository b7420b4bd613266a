"""Fixtures of `make test-faults`: a small part of the demo's data in files, and runs on it."""

import json
from pathlib import Path

import pytest
import yaml
from killing import TRAINING, run

from peftsearch.tasks.load import load_task
from peftsearch.tasks.task import TaskRequest

ROWS = {"train": 240, "validation": 60, "test": 60}


@pytest.fixture(scope="session")
def task(tmp_path_factory) -> Path:
    """A task file named demo, with its data beside it."""
    folder = tmp_path_factory.mktemp("data")
    demo = load_task(TaskRequest(task="demo"))
    for split, count in ROWS.items():
        texts = [(example.fields[0][1], demo.labels[example.target]) for example in demo.splits[split][:count]]
        lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in texts]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    data = ",".join(str(folder / f"{split}.jsonl") for split in ROWS)
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump({"name": "demo", "data": data, "text": "text", "label": "label"}))
    return path


@pytest.fixture(scope="session")
def search(task) -> list[str]:
    """The command of a search and its trainings, without the folder."""
    settings = yaml.safe_load(task.read_text()) | {"model": "demo", "budget": "0.1%", "verify": "false"}
    settings |= {"method": "bipeft", "method.cost": 1}  # 60 steps of search
    del settings["name"]
    settings |= {f"training.{name}": value for name, value in TRAINING.items()}
    return ["search", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]


@pytest.fixture(scope="session")
def unbroken(search, tmp_path_factory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    code, output = run([*search, "--output", str(folder)])
    assert code == 0, output[-3000:]
    return folder
