"""Score a model on a set of examples."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.task import Example
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.micro_batches import Batch


def batches_by_length(task_format: TaskFormat, encoded: EncodedDataset, batch_size: int) -> Iterator[Batch]:
    """Cut a split into batches of examples of like length, the longest first, so that little is padded.

    No random number is drawn.

    Args:
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
    """
    order = _longest_first(encoded)
    for start in range(0, len(order), batch_size):
        yield task_format.collate([encoded[i] for i in order[start : start + batch_size]])


def _longest_first(encoded: EncodedDataset) -> list[int]:
    lengths = encoded.lengths
    return sorted(range(len(encoded)), key=lengths.__getitem__, reverse=True)


@torch.inference_mode()
def losses(model: nn.Module, task_format: TaskFormat, encoded: EncodedDataset, *, batch_size: int) -> list[float]:
    """Compute the loss of every encoded example, in their order, without dropout, times the weight of its class.

    Args:
        model: on the device to use; its output has logits.
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
    """

    def of_batch(batch: Batch) -> list[float]:
        return task_format.losses(model, batch).tolist()

    return _for_each_row(model, task_format, encoded, of_batch, batch_size=batch_size)


@torch.inference_mode()
def predict(
    model: nn.Module,
    task_format: TaskFormat,
    encoded: EncodedDataset,
    *,
    batch_size: int,
    done: Callable[[int], None] = lambda count: None,
) -> list:
    """Predict every encoded example, in their order.

    Args:
        model: on the device to use.
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
        done: told after each batch how many examples it had.
    """

    def of_batch(batch: Batch) -> Sequence:
        found = task_format.predict(model, batch)
        done(len(found))
        return found

    return _for_each_row(model, task_format, encoded, of_batch, batch_size=batch_size)


def _for_each_row(
    model: nn.Module,
    task_format: TaskFormat,
    encoded: EncodedDataset,
    of_batch: Callable[[Batch], Sequence],
    *,
    batch_size: int,
) -> list:
    """Call a function with each batch on the model's device, and put its values into the order of the rows."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found: list = []
    for batch in batches_by_length(task_format, encoded, batch_size):
        found += of_batch({name: tensor.to(device) for name, tensor in batch.items()})
    model.train(was_training)
    ordered: list = [None] * len(encoded)
    for place, value in zip(_longest_first(encoded), found, strict=True):
        ordered[place] = value
    return ordered


def evaluate(
    model: nn.Module,
    task_format: TaskFormat,
    examples: tuple[Example, ...],
    encoded: EncodedDataset,
    *,
    batch_size: int,
) -> dict[str, float]:
    """Compute every metric of the task; see `TaskFormat.score` for their ranges.

    Args:
        model: on the device to use.
        task_format: how the task is put to the model.
        examples: with their answers.
        encoded: the same examples, encoded.
        batch_size: examples.
    """
    return task_format.score(predict(model, task_format, encoded, batch_size=batch_size), examples)
