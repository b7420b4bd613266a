"""The checkpoints of one training: written whole, checked when read, the newest good one found.

A checkpoint is a folder `step-N` with `tensors.safetensors`, `state.json`, the Trainer's `trainer_state.json`, and
`sha256.json`, which holds the SHA-256 of the other three.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import TrainerState

from peftsearch.errors import CheckpointError
from peftsearch.files import new_folder, storage_errors
from peftsearch.training.pytree import PyTree, join, split

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
_TENSORS, _STATE, _TRAINER, _SUMS = "tensors.safetensors", "state.json", "trainer_state.json", "sha256.json"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of the training that logs to a folder.

    Args:
        training: the training's folder; the checkpoints are in a folder below it.
        keep: number of checkpoints kept, the newest ones.
    """

    training: Path
    keep: int = 2

    @cached_property
    def folder(self) -> Path:
        """The folder that holds them."""
        return self.training / FOLDER

    def write(self, pytree: PyTree, state: TrainerState) -> Path:
        """Write the checkpoint of a step and delete those that are too old.

        Args:
            pytree: what is saved; see `peftsearch.training.pytree`.
            state: the Trainer's; it names the step.

        Raises:
            StorageError: if it cannot be written; the earlier ones are still there.
        """
        plain, tensors = split(pytree)
        path = self.folder / f"step-{state.global_step}"
        with new_folder(path) as new:
            save_file(tensors, new / _TENSORS)
            (new / _STATE).write_text(json.dumps(plain), encoding="utf-8")
            # What the log file holds anyway would make every checkpoint longer than the one before.
            replace(state, log_history=[], stateful_callbacks={}).save_to_json(str(new / _TRAINER))
            (new / _SUMS).write_text(json.dumps(_sums(new)), encoding="utf-8")
        # Later ones are damaged, or of a training that took another way.
        later = [other for other in self._newest_first() if step_of(other) > state.global_step]
        with storage_errors(self.folder):
            for old in [*later, *self._newest_first()[len(later) + self.keep :]]:
                shutil.rmtree(old)
        return path

    def latest(self) -> Path | None:
        """Find the newest undamaged checkpoint; None if there is none.

        A damaged one is named in a warning and passed over.
        """
        for path in self._newest_first():
            try:
                check(path)
            except CheckpointError as error:
                logger.warning("%s It is passed over for the one before it.", error)
            else:
                return path
        return None

    def keep_newest(self) -> None:
        """Delete all but the newest one, of a training that pauses."""
        with storage_errors(self.folder):
            for old in self._newest_first()[1:]:
                shutil.rmtree(old)

    def discard(self) -> None:
        """Delete all of them.

        Raises:
            StorageError: if they cannot be deleted; a training would go on from them.
        """
        with storage_errors(self.folder), suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _newest_first(self) -> list[Path]:
        return sorted(self._all(), key=step_of, reverse=True)

    def _all(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from (path for path in self.folder.glob("step-*") if path.name.removeprefix("step-").isdigit())


def step_of(path: Path) -> int:
    """Optimizer steps that had been taken at a checkpoint."""
    return int(path.name.removeprefix("step-"))


def check(path: Path) -> None:
    """Compare the files of a checkpoint with their SHA-256.

    Raises:
        CheckpointError: if a file is missing, cut short or changed.
    """
    try:
        expected = json.loads((path / _SUMS).read_text(encoding="utf-8"))
        found = _sums(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"The checkpoint '{path}' is damaged: {error}.") from error
    differing = [name for name in found if not isinstance(expected, dict) or expected.get(name) != found[name]]
    if differing:
        raise CheckpointError(f"The checkpoint '{path}' is damaged: {', '.join(differing)} changed after writing.")


def read(path: Path) -> PyTree:
    """Read the pytree of a checkpoint.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        plain = json.loads((path / _STATE).read_text(encoding="utf-8"))
        return join(plain, load_file(path / _TENSORS))
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint '{path}' cannot be read: {error}.") from error


def _sums(path: Path) -> dict[str, str]:
    sums = {}
    for name in (_TENSORS, _STATE, _TRAINER):
        with (path / name).open("rb") as file:
            sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums
