"""What else happens to runs: signals, full and read-only disks, damaged files, little memory, workers that die."""

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from killing import differing, outcome, rows, run, send_at, start, there

pytestmark = pytest.mark.faults


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, which `mount -o remount` changes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def assert_goes_on(search: list[str], folder: Path, unbroken: Path) -> str:
    code, output = run([*search, "--output", str(folder), "--resume"])
    assert code == 0, output[-3000:]
    assert not differing(outcome(unbroken), outcome(folder))
    return output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize(
    "moment", [rows("search/log.jsonl", 23), rows("training/seed-0/log.jsonl", 4)], ids=["search", "train"]
)
def test_a_signal_saves_the_step_and_names_the_command_that_goes_on(number, moment, search, unbroken, tmp_path):
    folder = tmp_path / "run"
    process = start([*search, "--output", str(folder)])
    send_at(process, moment, folder, number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "Saved step" in output and "Traceback" not in output
    assert output.rstrip().endswith(f"--output {folder} --resume")
    assert "Going on from step" in assert_goes_on(search, folder, unbroken)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(small_disk, search, unbroken):
    folder = small_disk / "run"
    code, output = run([*search, "--output", str(folder)])
    assert code == 2 and "Traceback" not in output
    assert "No space left on device" in output and "--resume" in output
    remount(small_disk, "size=1g")
    assert_goes_on(search, folder, unbroken)


def test_a_folder_that_became_read_only_is_named(small_disk, search, unbroken):
    remount(small_disk, "size=1g")
    folder = small_disk / "run"
    process = start([*search, "--output", str(folder)])
    send_at(process, there("search/search.json"), folder, signal.SIGKILL)
    process.communicate()
    remount(small_disk, "ro")
    code, output = run([*search, "--output", str(folder), "--resume"])
    assert code == 2 and "Cannot write to the output folder" in output and "Traceback" not in output
    remount(small_disk, "rw")
    assert_goes_on(search, folder, unbroken)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_last_good_one_is_used(damage, search, unbroken, tmp_path):
    folder = tmp_path / "run"
    process = start([*search, "--output", str(folder)])
    send_at(process, rows("search/log.jsonl", 33), folder, signal.SIGKILL)
    process.communicate()
    good, bad = sorted((folder / "search" / "checkpoints").glob("step-*"))
    path = bad / "tensors.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    output = assert_goes_on(search, folder, unbroken)
    assert f"The checkpoint '{bad}' is damaged" in output and f"'{good}'" in output


def test_little_memory_halves_the_micro_batch(tmp_path):
    folder = tmp_path / "run"
    arguments = ["train", "--configuration", "lora", "--budget", "0.1%", "--model", "demo", "--task", "demo"]
    arguments += ["--max_train_samples", "512", "--per_device_train_batch_size", "256", "--num_train_epochs", "1"]
    arguments += ["--verify", "false", "--output", str(folder)]
    limit = int(os.environ.get("PEFTSEARCH_MEMORY_GIB", "4")) * 2**30
    code, output = run(arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    assert "Out of memory with 256 examples a pass" in output
    trained = json.loads((folder / "training" / "seed-0" / "trained.json").read_text())
    assert trained["num_pieces"] > 1
    # The limit is on addresses, which freed memory keeps: loading the result may find none, and says so.
    assert code in (0, 2) and "Traceback" not in output, output[-3000:]


def test_a_loss_that_is_no_number_names_the_step_and_the_checkpoint(search, tmp_path):
    folder = tmp_path / "run"
    arguments = [*search, "--training.learning_rate", "1e30", "--training.save_steps", "1", "--output", str(folder)]
    code, output = run(arguments)
    assert code == 2 and "at step" in output and "Traceback" not in output
    assert "checkpoint" in output


def test_a_worker_that_is_killed_goes_on_in_another(tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "cmp"
    arguments = ["compare", "--model", "demo", "--methods", "bitfit,lora", "--tasks", "demo", "--budget", "0.1%"]
    arguments += ["--seeds", "1", "--max_train_samples", "240", "--verify", "false", "--workers", "2"]
    arguments += ["--output", str(folder)]
    process = start(arguments)
    name, has_come = rows("demo/bitfit/seed-0/training/seed-0/log.jsonl", 1)
    while not has_come(folder):
        assert process.poll() is None, process.communicate()[0][-3000:]
    if shutil.which("fuser") is None:
        pytest.skip("needs fuser, of Debian's psmisc")
    lock = folder / "demo" / "bitfit" / "seed-0" / ".lock"
    subprocess.run(["fuser", "-k", "-KILL", str(lock)], check=True, capture_output=True)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    assert not list(folder.rglob("failed.json"))
    assert {path.parent.parent.name for path in folder.rglob("results.json")} == {"bitfit", "lora"}
    shutil.rmtree(folder)
