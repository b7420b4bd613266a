"""Two processes with half of the batch each find what one finds with all of it, and outlive each other's end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import one_of_a_pair as pair
import pytest
from safetensors.torch import load_file

from peftsearch.space import Configuration
from peftsearch.testing.small_runs import write_review_files
from peftsearch.testing.tiny_models import save_tiny

# Sums over halves are rounded in another order than sums over wholes; learning makes more of it.
TOLERANCE = 1e-4
# Times, counts of operations, which padding changes, and the Trainer's own mean, which is that of the first process.
UNLIKE = ("seconds", "runtime", "per_second", "flos", "train_loss")


def torchrun(*words: str | Path) -> subprocess.Popen:
    """Two processes on this machine."""
    return start("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *words)


def start(*words: str | Path) -> subprocess.Popen:
    """Python in a process of its own, with this checkout's package."""
    path = os.pathsep.join([str(Path(pair.peftsearch.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model without dropout, which would draw other numbers for other batches, and data."""
    folder = tmp_path_factory.mktemp("pair")
    pair.without_dropout(save_tiny("bert", folder / "model"))
    (folder / "data.txt").write_text(write_review_files(folder))
    return folder


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def differences(one: list[dict], two: list[dict]) -> list[float]:
    """Differences of all numbers of two logs, relative to those above 1."""
    assert [row.keys() for row in one] == [row.keys() for row in two]
    pairs = [(a[k], b[k]) for a, b in zip(one, two, strict=True) for k in a if not any(word in k for word in UNLIKE)]
    assert [a for a, _ in pairs if isinstance(a, str)] == [b for _, b in pairs if isinstance(b, str)]
    return [abs(a - b) / max(1.0, abs(a)) for a, b in pairs if isinstance(a, int | float)]


def logs_of(place: Path) -> dict[str, list[dict]]:
    found = {path.relative_to(place).as_posix(): rows(path) for path in place.rglob("log.jsonl")}
    flat = [{f"{s} {k}": v for s, own in row["importance"].items() for k, v in own.items()}
            for row in rows(place / "search" / "importance.jsonl")]  # fmt: skip
    return found | {"importance": flat}


# One start of two processes for all that is compared: a minute of both cores. `make examples` runs it.
@pytest.mark.slow
def test_two_processes_with_half_of_the_batch_each_are_as_one_with_all_of_it(folder):
    started = torchrun(Path(pair.__file__), folder)
    one, two = folder / "of-1", folder / "of-2"
    for name in pair.METHODS:
        pair.search(name, folder, one / name)
    pair.train(pair.config_of(folder, one / "trained", configuration="lora", method={}))
    for method in ("bipeft", "pursuit"):
        pair.search_in_trainer(method, one / "in_trainer" / method)
    output, _ = started.communicate(timeout=900)
    assert started.returncode == 0, output[-5000:]

    for path in (*(one / name for name in (*pair.METHODS, "trained")), *(one / "in_trainer").iterdir()):
        same = two / path.relative_to(one)
        name = "configuration.json" if path.parent == one else "search/configuration.json"
        assert Configuration.load(same / name) == Configuration.load(path / name), path.name
        ours, theirs = logs_of(path), logs_of(same)
        assert ours.keys() == theirs.keys() and any(ours.values())
        for log in ours:
            assert max(differences(ours[log], theirs[log]), default=0.0) < TOLERANCE, (path.name, log)
    tensors = [load_file(place / "trained/adapter/adapter_model.safetensors") for place in (one, two)]
    assert all((tensors[0][name] - tensors[1][name]).abs().max() < TOLERANCE for name in tensors[0])
    results = [json.loads((place / "trained" / "results.json").read_text()) for place in (one, two)]
    assert results[0]["validation"] == results[1]["validation"] and results[0]["test"] == results[1]["test"]
    check_what_they_said(*(json.loads((two / "said" / f"{i}.json").read_text()) for i in range(2)))


def check_what_they_said(first: dict, second: dict) -> None:
    for name in ("sums", "counts", "means", "shared", "alike", "total", "largest", "from_first", "gathered"):
        assert first[name] == second[name], name
    assert first["sums"] == [3.0, 3.0] and first["counts"] == [3] and first["means"] == [1.5, 1.5]
    assert first["shared"] == [1.0, 1.0] and first["apart"] != second["apart"]
    assert first["slices"] == [[], [], [0, 1]] and second["slices"] == [[], [0], [2, 3, 4]]
    assert (first["total"], first["largest"], first["from_first"]) == (7, 1, {"from": 0})
    assert first["gathered"] == [[[0, "a"]], [[1, "a"], [1, "a"]]]
    assert "other things" in first["refused"] and "other things" in second["refused"]


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def is_second(process: int) -> bool:
    return b"\0RANK=1\0" in b"\0" + Path(f"/proc/{process}/environ").read_bytes()


# Each start of two processes takes half of a minute on a busy machine.
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the second process in /proc")
@pytest.mark.parametrize("of_two", [(), ("--shard_model", "true")], ids=["whole", "shared_out"])
def test_what_a_dying_process_leaves_goes_on_with_two_processes_or_with_one(folder, tmp_path, of_two):
    def command(place: Path, batch_size: int, *more: str) -> list[str]:
        training = {"learning_rate": 3e-3, "num_train_epochs": 3, "max_seq_length": 32, "save_steps": 1}
        training["per_device_train_batch_size"] = batch_size
        given = {"model": folder / "model", "data": (folder / "data.txt").read_text(), "text": "review"}
        given |= {"label": "stars", "budget": 600, "method": "prunepeft", "baseline": "false", "output": place}
        given |= {f"training.{name}": value for name, value in training.items()}
        return ["search", *(word for name, value in given.items() for word in (f"--{name}", str(value))), *more]

    broken = torchrun("-m", "peftsearch", *command(tmp_path / "two", 4, *of_two))
    while not (tmp_path / "two/search/checkpoints/step-3").exists():
        assert broken.poll() is None, broken.communicate()[0][-3000:]
        time.sleep(0.001)
    (second,) = filter(is_second, children(broken.pid))
    os.kill(second, signal.SIGKILL)
    output, _ = broken.communicate(timeout=120)
    assert broken.returncode != 0 and not (tmp_path / "two/search/search.json").exists(), output[-3000:]
    assert "peftsearch: " in output and "--resume" in output
    shutil.copytree(tmp_path / "two", tmp_path / "one")
    shutil.copytree(tmp_path / "two", tmp_path / "other")

    for place, run in {
        "two": torchrun("-m", "peftsearch", *command(tmp_path / "two", 4, "--resume", *of_two)),
        "one": subprocess.Popen([sys.executable, "-m", "peftsearch", *command(tmp_path / "one", 8, "--resume")]),
        "unbroken": subprocess.Popen([sys.executable, "-m", "peftsearch", *command(tmp_path / "unbroken", 8)]),
    }.items():
        output, _ = run.communicate(timeout=900)
        assert run.returncode == 0, (place, (output or "")[-3000:])
    found = [json.loads((tmp_path / place / "results.json").read_text()) for place in ("unbroken", "one", "two")]
    ends = [(tmp_path / place / "configuration.json").read_text() for place in ("unbroken", "one", "two")]
    assert ends[0] == ends[1] == ends[2]
    assert found[0]["validation"] == found[1]["validation"] == found[2]["validation"]
    other = subprocess.run(
        [sys.executable, "-m", "peftsearch", *command(tmp_path / "other", 4, "--resume")],
        capture_output=True,
        text=True,
    )
    assert other.returncode == 2 and "per_device_train_batch_size" in other.stderr
