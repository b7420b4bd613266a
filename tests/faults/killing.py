"""Real runs in processes of their own, killed at moments that their files show."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
COMMAND = [sys.executable, "-c", "import sys; from peftsearch.cli.main import main; sys.exit(main())"]
# Seconds after which a run that does not get to its moment counts as hung.
PATIENCE = 900.0
# A run of about half a minute: 60 steps of search, 120 of training.
TRAINING = {
    "learning_rate": 5e-3,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "max_seq_length": 32,
    "save_steps": 10,
}

# (name, whether the folder shows that the moment has come)
Moment = tuple[str, Callable[[Path], bool]]


def start(arguments: Sequence[str], **options) -> subprocess.Popen:
    """A run in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def run(arguments: Sequence[str], **options) -> tuple[int, str]:
    """Exit code and output of a run to its end."""
    process = start(arguments, **options)
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def send_at(process: subprocess.Popen, moment: Moment, folder: Path, number: int = signal.SIGKILL) -> None:
    """Wait for a moment and send a signal to the run and all it has started."""
    name, has_come = moment
    deadline = time.monotonic() + PATIENCE
    while not has_come(folder):
        if process.poll() is not None:
            raise AssertionError(f"The run ended before '{name}':\n{process.communicate()[0][-3000:]}")
        if time.monotonic() > deadline:
            raise AssertionError(f"'{name}' has not come in {PATIENCE:.0f} s")
        time.sleep(0.0002)
    os.killpg(process.pid, number)


def kill_at(arguments: Sequence[str], moment: Moment, folder: Path) -> None:
    """Start a run, or go on with it, and `kill -9` it at a moment."""
    process = start(arguments)
    try:
        send_at(process, moment, folder)
    finally:
        process.kill()
        process.communicate()


def num_lines(path: Path) -> int:
    """Lines of a file; none if it is not there."""
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def rows(name: str, count: int) -> Moment:
    """A log, or a record of trials, has so many rows."""
    return f"{name} has {count} rows", lambda folder: num_lines(folder / name) >= count


def there(name: str) -> Moment:
    """A file or folder has appeared."""
    return f"{name} is there", lambda folder: (folder / name).exists()


def writing(name: str, after: int = 0) -> Moment:
    """A checkpoint of the training in a folder is being written, the log having so many rows."""

    def has_come(folder: Path) -> bool:
        if after and num_lines(folder / name / "log.jsonl") < after:
            return False
        try:
            return any(path.name.endswith(".tmp") for path in (folder / name / "checkpoints").iterdir())
        except FileNotFoundError:
            return False

    return f"a checkpoint of {name} is being written after row {after}", has_come


def outcome(folder: Path) -> dict[str, object]:
    """Everything of a finished run that must not depend on how often it was stopped."""
    results = json.loads((folder / "results.json").read_text())
    kept = ("parameters", "validation", "test", "modules", "ladder", "learning_rate", "search_steps", "notes")
    baseline = results["baseline"] or {}
    found: dict[str, object] = {name: results[name] for name in kept}
    for step in results["ladder"]:
        # Wall time.
        (step["baseline"] or {}).pop("seconds", None)
    found["baseline"] = {name: baseline.get(name) for name in ("parameters", "validation", "test")}
    for path in sorted(folder.rglob("*.safetensors")):
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
    for path in sorted([folder / "configuration.json", *folder.glob("ladder/*/configuration.json")]):
        found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Names of what differs."""
    return [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
