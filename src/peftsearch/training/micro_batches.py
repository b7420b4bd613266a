"""Micro-batches: smaller batches, with the same gradients in sum, for a batch that memory does not hold."""

import gc
import logging
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from peftsearch import processes
from peftsearch.errors import TrainingError

logger = logging.getLogger(__name__)

Batch = dict[str, Any]
T = TypeVar("T")
# Label that losses pass over.
IGNORED = -100


class MicroBatches:
    """Number of micro-batches in a batch: doubled whenever memory runs out, and never lowered."""

    def __init__(self) -> None:
        self.num_micro_batches = 1

    def each(self, batch: Batch, step: Callable[[Batch], T], *, undo: Callable[[], None]) -> list[T]:
        """Take a step on every micro-batch of a batch; start again with smaller ones where memory runs out.

        Args:
            batch: tensors and lists with one row an example.
            step: called with a micro-batch.
            undo: takes back the gradients that a failed attempt has left behind.

        Returns:
            the results of the steps, in order.

        Raises:
            TrainingError: if not even one example fits, or others wait for this process's part of the model and cannot
                start again with it.
        """
        while True:
            micro_batches = cut(batch, self.num_micro_batches)
            try:
                return [step(micro_batch) for micro_batch in micro_batches]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if processes.shards_model():
                    raise _cannot_halve(max(map(num_rows, micro_batches))) from error
            # Not inside of the except block, where the error still holds on to the tensors of the pass.
            undo()
            self._halve(max(map(num_rows, micro_batches)))

    def _halve(self, size: int) -> None:
        if size == 1:
            raise TrainingError(
                "Out of memory with a single example a pass. Shorten --max_seq_length, set "
                "--training.gradient_checkpointing true, or use a smaller model."
            )
        self.num_micro_batches *= 2
        gc.collect()
        clear_device_cache()
        logger.warning(
            "Out of memory with %d examples a pass; going on with half as many and their gradients added up.", size
        )

    def state_dict(self) -> int:
        """The number of micro-batches."""
        return self.num_micro_batches

    def load_state_dict(self, state: int) -> None:
        """Go on with as many micro-batches as before, unless they are passes that other processes need not take."""
        self.num_micro_batches = 1 if processes.shards_model() else state


def _cannot_halve(size: int) -> TrainingError:
    who = f"process {processes.index()} of {processes.num_processes()}"
    return TrainingError(
        f"Out of memory with {size} examples a pass in {who}, which share the model out: each pass needs all of them, "
        "so none takes smaller ones alone. What has been saved goes on with --resume on more processes with as many "
        "examples in sum, such as twice as many processes with half of --per_device_train_batch_size. Or start anew "
        "with half of it and twice the --training.gradient_accumulation_steps, with --training.gradient_checkpointing "
        "true, or with a lower --max_seq_length."
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a device or on the CPU."""
    is_own = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_own or (isinstance(error, Exception) and should_reduce_batch_size(error))


def num_rows(batch: Batch) -> int:
    """Examples of a batch."""
    return len(next(iter(batch.values())))


def num_items(batch: Batch) -> int:
    """Denominator of the mean loss of a batch: labels that are not ignored, or examples where there are no labels."""
    labels = batch.get("labels")
    # Only classes and tokens can be marked as ignored; -100 as a number to predict counts.
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point():
        return num_rows(batch)
    return int((labels != IGNORED).sum())


def without_labels(batch: Batch) -> Batch:
    """The same batch with no label that counts."""
    return {**batch, "labels": torch.full_like(batch["labels"], IGNORED)}


def cut(batch: Batch, num_micro_batches: int) -> list[Batch]:
    """Cut a batch into micro-batches of almost the same number of examples, none of them empty."""
    if num_micro_batches == 1:
        return [batch]
    rows = num_rows(batch)
    edges = [rows * i // num_micro_batches for i in range(num_micro_batches + 1)]
    return [
        {name: values[start:end] for name, values in batch.items()} for start, end in pairwise(edges) if end > start
    ]


def hold_gradients(parameters: Sequence[torch.nn.Parameter]) -> Callable[[], None]:
    """Keep a copy of the gradients that earlier passes of the same optimizer step have left.

    Args:
        parameters: of the optimizer.

    Returns:
        a function that puts them back.
    """
    held = [None if p.grad is None else p.grad.clone() for p in parameters]

    def put_back() -> None:
        for parameter, gradient in zip(parameters, held, strict=True):
            # The next attempt adds to what it finds.
            parameter.grad = None if gradient is None else gradient.clone()

    return put_back


def memory_notes(what: str, num_micro_batches: int, batch_size: int) -> tuple[str, ...]:
    """A note for the user on batches that were cut, if they were.

    Args:
        what: "search" or "training".
        num_micro_batches: at the end.
        batch_size: examples of a whole batch.
    """
    if num_micro_batches == 1:
        return ()
    return (
        f"The {what} ran out of memory with {batch_size} examples a pass and went on with "
        f"{math.ceil(batch_size / num_micro_batches)}; gradients were added up, so its steps are "
        f"still over {batch_size}.",
    )
