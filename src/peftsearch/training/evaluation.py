"""Score a model on a set of examples."""

from collections.abc import Iterator

import torch
from torch import nn

from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.task import Example
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.micro_batches import Batch, num_items


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
def mean_loss(model: nn.Module, task_format: TaskFormat, encoded: EncodedDataset, *, batch_size: int) -> float:
    """Compute the mean loss over all labels of a split, without dropout.

    Args:
        model: on the device to use; its output has a loss.
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    for batch in batches_by_length(task_format, encoded, batch_size):
        items = int(num_items(batch))
        total += items * float(model(**{name: tensor.to(device) for name, tensor in batch.items()}).loss)
        count += items
    model.train(was_training)
    return total / count


@torch.inference_mode()
def predict(model: nn.Module, task_format: TaskFormat, encoded: EncodedDataset, *, batch_size: int) -> list:
    """Predict every encoded example, in their order.

    Args:
        model: on the device to use.
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found: list = []
    for batch in batches_by_length(task_format, encoded, batch_size):
        found += task_format.predict(model, {name: tensor.to(device) for name, tensor in batch.items()})
    model.train(was_training)
    predictions: list = [None] * len(encoded)
    for place, prediction in zip(_longest_first(encoded), found, strict=True):
        predictions[place] = prediction
    return predictions


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
