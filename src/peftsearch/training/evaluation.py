"""Score a model on a set of examples."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from peftsearch import processes
from peftsearch.models.sharding import finish_passes
from peftsearch.modules.placement import input_device
from peftsearch.tasks.encoded import EncodedDataset, EncodedSplit
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.task import Example
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.training.micro_batches import Batch
from peftsearch.training.progress import open_progress


def batches_by_length(task_format: TaskFormat, encoded: EncodedDataset, batch_size: int) -> Iterator[Batch]:
    """Cut a split into batches of examples of like length, the longest first, so that little is padded.

    No random number is drawn.

    Args:
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
    """
    for rows in _rows_by_length(encoded, batch_size):
        yield task_format.collate([encoded[i] for i in rows])


def _rows_by_length(encoded: EncodedDataset, batch_size: int) -> list[list[int]]:
    lengths = encoded.lengths
    order = sorted(range(len(encoded)), key=lengths.__getitem__, reverse=True)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


@torch.no_grad()
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


@torch.no_grad()
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
    """Call a function with each batch on the model's device, and put its values into the order of the rows.

    Processes that work together take turns with the batches, and each gets the values of all.
    """
    device = input_device(model)
    was_training = model.training
    model.eval()
    count, batches = processes.num_processes(), _rows_by_length(encoded, batch_size)
    own: list[tuple[int, Any]] = []
    for rows in batches[processes.index() :: count]:
        batch = task_format.collate([encoded[i] for i in rows])
        found = of_batch({name: tensor.to(device) for name, tensor in batch.items()})
        own += zip(rows, found, strict=True)
    finish_passes(model)
    model.train(was_training)
    ordered: list = [None] * len(encoded)
    for place, value in (pair for pairs in processes.gather(own) for pair in pairs):
        ordered[place] = value
    return ordered


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on the validation split, and what that chose.

    Args:
        metrics: name -> value.
        threshold: least probability that gives one of several labels; None for other tasks.
    """

    metrics: dict[str, float]
    threshold: float | None


def evaluate_for(
    metric: str, model: nn.Module, task_format: TaskFormat, split: EncodedSplit, *, batch_size: int
) -> Evaluation:
    """Compute the metric of the task that selects, and all others that take no longer; see `TaskFormat.score`.

    Texts are written only where that metric reads them, since they take as many passes as they have tokens. What
    predictions of the validation split choose, such as a threshold, is chosen first.

    Args:
        metric: its name.
        model: on the device to use.
        task_format: how the task is put to the model.
        split: the validation split, with its answers.
        batch_size: examples.
    """
    predictions = predict(model, task_format, split.encoded, batch_size=batch_size)
    fitted = task_format.fitted(predictions, split.examples)
    found = fitted.score(predictions, split.examples)
    if METRICS[metric].needs_texts:
        found |= score_written(model, task_format, split.examples, batch_size=batch_size)
    return Evaluation(found, fitted.threshold)


def score_written(
    model: nn.Module, task_format: TaskFormat, examples: Sequence[Example], *, batch_size: int
) -> dict[str, float]:
    """Let a model write a text for each example, and compute the metrics that read them; none for other tasks.

    Args:
        model: on the device to use.
        task_format: how the task is put to the model.
        examples: with their answers.
        batch_size: examples.
    """
    if not any(METRICS[name].needs_texts for name in task_format.task.metrics):
        return {}
    return task_format.score_texts(write(model, task_format, examples, batch_size=batch_size), examples)


def write(model: nn.Module, task_format: TaskFormat, examples: Sequence[Example], *, batch_size: int) -> list[str]:
    """Let a model write a text for each example, and show the progress; arguments as for `score_written`."""
    answering = task_format.answering()
    with closing(open_progress("texts written", unit="text", total=len(examples))) as progress:
        return predict(model, answering, answering.encode(examples), batch_size=batch_size, done=progress.update)
