"""A Trainer that goes on from its last checkpoint as if it had never stopped: to the bit on the CPU."""

import logging
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy
import torch
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback

from peftsearch import processes
from peftsearch.errors import CheckpointError, TrainingError
from peftsearch.modules.placement import is_dispatched
from peftsearch.training import stop_signals
from peftsearch.training.batches import OwnSlices, skip_passes
from peftsearch.training.checkpoints import Checkpoints, read, step_of
from peftsearch.training.pytree import PyTree

logger = logging.getLogger(__name__)


@runtime_checkable
class Stateful(Protocol):
    """An object of a training whose state is saved beside weights, optimizer and schedule."""

    def state_dict(self) -> PyTree:
        """All that `load_state_dict` needs, as it stands after an optimizer step."""
        ...

    def load_state_dict(self, state: PyTree) -> None:
        """Restore the state from `state_dict`; the object is otherwise new."""
        ...


class ResumingTrainer(Trainer):
    """A Trainer with checkpoints of its trained weights, optimizer, schedule, random numbers and order of data.

    The state of `stateful_parts` is saved too. Call `resume` instead of `train`. The Trainer's own checkpoints are
    pickled; these are not.
    """

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        """Leave a model where accelerate has placed its layers; all others move to the device of the training."""
        if not is_dispatched(model):
            super()._move_model_to_device(model, device)
            return
        away = [name for name, p in model.named_parameters() if p.requires_grad and p.is_meta]
        if away:
            raise TrainingError(
                f"'{away[0]}' is to be trained, but was moved out of memory with the layers that did not fit. "
                "Leave model_device_map out, or load the model in 4 bits."
            )

    def watch(self, checkpoints: Checkpoints, *, every: int, sampler: Sampler) -> None:
        """Get ready for `resume`.

        Args:
            checkpoints: where they are.
            every: optimizer steps between two of them; 0 writes one only when the training is asked to stop.
            sampler: of the training set; each pass draws from a generator of its own.
        """
        self.checkpoints, self.save_every, self._sampler = checkpoints, every, sampler
        # Loaded in this order, before the weights.
        self.stateful_parts: dict[str, Stateful] = {}
        self._started, self._seconds_before = time.perf_counter(), 0.0
        self._loaded: PyTree = None

    @property
    def seconds(self) -> float:
        """Wall time of the training, that before interruptions included."""
        return self._seconds_before + time.perf_counter() - self._started

    def resume(self, *, pause_after: int = 0) -> None:
        """Train from the newest good checkpoint, or from the start if there is none.

        Args:
            pause_after: optimizer steps after which the training stops, on the schedule of the whole and with a
                checkpoint from which it goes on; 0 trains to the end.

        Raises:
            Interrupted: after a checkpoint, if the run was asked to stop.
            StorageError: if a checkpoint cannot be written.
            CheckpointError: if the checkpoint is of another training.
            TrainingError: if the loss stops being a number, or memory does not hold one example.
        """
        # The last callback: what is saved is what the others have made of a step.
        self.add_callback(_Save(self, pause_after))
        self._last = latest = self.checkpoints.latest()
        # Drawn by the same seed in each process, but perhaps not on the same sort of device.
        processes.share(list(self._trained().values()))
        if latest is not None:
            logger.info("Going on from step %d ('%s').", step_of(latest), latest)
        try:
            with stop_signals.defer_to_step_end(), suppress(_Paused):
                self.train(resume_from_checkpoint=str(latest) if latest else None)
        except TrainingError as error:
            raise type(error)(f"{error} {self._kept()}") from error

    def _kept(self) -> str:
        if self._last is None:
            return "There is no checkpoint."
        # The folder of another process is its own, and goes with it.
        name = f"'{self._last}'" if processes.is_first() else f"that of step {step_of(self._last)}"
        return f"The last checkpoint before that is {name}."

    # -- what is saved

    def save_checkpoint(self) -> Path:
        """Write a checkpoint of the present step."""
        optimizer, schedule = self._optimizer_and_schedule()
        pytree = {
            "weights": self._trained(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": _random_state(),
            "passes": int(self.state.epoch),
            "seconds": self.seconds,
            "parts": {name: part.state_dict() for name, part in self.stateful_parts.items()},
        }
        self._last = self.checkpoints.write(pytree, self.state)
        return self._last

    def _optimizer_and_schedule(self) -> tuple[Any, Any]:
        """Optimizer and schedule, which the Trainer has made by now."""
        return self.optimizer, self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        """Load this process's slice of each batch."""
        train: Any = self.train_dataset  # typed for datasets without a length too
        loader = DataLoader(
            train,
            batch_sampler=OwnSlices(self._sampler, self._train_batch_size),
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        # As for one process, since the batches are cut already.
        return prepare_data_loader(
            loader, self.accelerator.device, num_processes=1, process_index=0, put_on_device=True
        )

    def _trained(self) -> dict[str, torch.Tensor]:
        model: Any = self.model
        return {name: p for name, p in model.named_parameters() if p.requires_grad}

    # -- where the Trainer loads its own checkpoints

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self._loaded = read(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        try:
            for name, part in self.stateful_parts.items():
                part.load_state_dict(loaded["parts"][name])
            self._load_weights(loaded["weights"])
            optimizer, schedule = self._optimizer_and_schedule()
            optimizer.load_state_dict(loaded["optimizer"])
            schedule.load_state_dict(loaded["schedule"])
            skip_passes(self._sampler, min(int(loaded["passes"]), self.state.global_step))
            self._seconds_before = loaded["seconds"]
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"The checkpoint '{checkpoint}' is of another training or version: {error}. Delete the folder "
                f"'{self.checkpoints.folder}' to repeat this training from its start."
            ) from error

    @torch.no_grad()
    def _load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        trained = self._trained()
        if trained.keys() != weights.keys():
            raise ValueError(f"{sorted(trained.keys() ^ weights.keys())[0]} is trained in one of them only")
        for name, parameter in trained.items():
            parameter.copy_(weights[name])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        # The Trainer calls this when the data stands where it stood.
        if self._loaded is not None:
            _set_random_state(self._loaded["random"])
            self._loaded = None


class _Paused(Exception):  # noqa: N818  nothing is wrong
    """The training stands where it was to pause."""


class _Save(TrainerCallback):
    """Save a checkpoint every few steps, before a stop, and where the training pauses.

    The last step of an epoch is saved after the callbacks of the epoch's end.
    """

    def __init__(self, trainer: ResumingTrainer, pause_after: int):
        self.trainer, self.pause_after = trainer, pause_after

    def on_step_begin(self, args, state, control, **_) -> None:
        # Not at a step's end: so a training that was killed in its pause stops here too.
        if self.pause_after and state.global_step >= self.pause_after:
            raise _Paused

    def on_step_end(self, args, state, control, **_) -> None:
        is_end_of_epoch = float(state.epoch).is_integer()
        if not control.should_training_stop and not is_end_of_epoch:
            self._save(state)

    def on_epoch_end(self, args, state, control, **_) -> None:
        if not control.should_training_stop:
            self._save(state)

    def _save(self, state) -> None:
        every, is_asked = self.trainer.save_every, stop_signals.is_asked()
        is_due = state.global_step == self.pause_after or (every and state.global_step % every == 0)
        if is_asked or is_due:
            path = self.trainer.save_checkpoint()
            if is_asked:
                logger.warning("Saved step %d in '%s'.", state.global_step, path)
                stop_signals.stop_if_asked()


def _random_state() -> PyTree:
    return {
        "python": random.getstate(),
        "numpy": [part.tolist() if isinstance(part, numpy.ndarray) else part for part in numpy.random.get_state()],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: PyTree) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    numpy.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
