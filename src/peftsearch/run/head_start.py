"""The task head that searches and trainings start from: probed once for each seed, and kept in the run folder."""

import logging
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file, save_file

from peftsearch import processes
from peftsearch.files import new_folder, write_json
from peftsearch.models.head import TaskModel
from peftsearch.models.pooling import pooling_note
from peftsearch.report.document import read_as
from peftsearch.run.folder import read_json
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.evaluation import batches_by_length
from peftsearch.training.head_probe import head_parameters, probe_head
from peftsearch.training.micro_batches import Batch
from peftsearch.training.probe_record import HeadProbe

logger = logging.getLogger(__name__)

_WEIGHTS, _RECORD = "head.safetensors", "probe.json"


@dataclass(frozen=True)
class ProbedHeads:
    """The probed heads of a run, in `head/seed-N/` of its folder.

    Args:
        folder: of the run.
        task_format: how the task is put to the model.
        train: examples that a head is fitted to.
        validation: examples that stop the fit.
        batch_size: examples.
    """

    folder: Path
    task_format: TaskFormat
    train: EncodedSplit
    validation: EncodedSplit
    batch_size: int

    def load_into(self, loaded: TaskModel, seed: int) -> None:
        """Replace a model's fresh head by the probed one, which is fitted first unless it has been before.

        Args:
            loaded: a model with the fresh head of that seed.
            seed: of the head and of the order of batches.
        """
        place = self._folder_of(seed)
        if not (place / _RECORD).exists():
            self._probe(loaded, seed, place)
        state, parameters = load_file(place / _WEIGHTS), head_parameters(loaded.model, loaded.head)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state[name])
        # Each process has fitted it: that takes no longer than to wait for one.
        processes.share(list(parameters.values()))

    def read(self, seed: int) -> HeadProbe | None:
        """The record of a seed's probe; None if there was none."""
        record = self._folder_of(seed) / _RECORD
        return read_as(HeadProbe, read_json(record)) if record.exists() else None

    def _folder_of(self, seed: int) -> Path:
        return self.folder / "head" / f"seed-{seed}"

    def _shuffled_batches(self, split: EncodedSplit, seed: int) -> list[Batch]:
        """Batches of like length in random order, since the first ones must stand for all where memory ends."""
        batches = list(batches_by_length(self.task_format, split.encoded, self.batch_size))
        random.Random(seed).shuffle(batches)
        return batches

    def _probe(self, loaded: TaskModel, seed: int, place: Path) -> None:
        logger.info("Fitting the task head to the frozen model, seed %d.", seed)
        model: Any = loaded.model  # to() of transformers is typed for its own decorator
        model.to(PartialState().device)
        probe = probe_head(
            loaded.model,
            loaded.head,
            train=self._shuffled_batches(self.train, seed),
            validation=self._shuffled_batches(self.validation, seed),
            seed=seed,
            task=self.task_format,
        )
        logger.info(_described(probe))
        if note := pooling_note(loaded.name, loaded.model.config, probe.reads):
            logger.info(note)
        fitted = head_parameters(loaded.model, loaded.head)
        with new_folder(place) as new:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in fitted.items()}, new / _WEIGHTS)
            write_json(new / _RECORD, asdict(probe))


def _described(probe: HeadProbe) -> str:
    if probe.learning_rate is None:
        return f"The fresh head stays: no fit lowered its validation loss of {probe.loss:.3f} ({probe.seconds:.0f} s)."
    return (
        f"The head has a validation loss of {probe.loss:.3f}, half of the way from {probe.fresh_loss:.3f} to the "
        f"lowest of {probe.lowest_loss:.3f} ({probe.num_rows:,} rows, {probe.seconds:.0f} s)."
    )
