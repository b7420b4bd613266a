"""Score a model on a set of examples."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from peftsearch.tasks.encoded import EncodedDataset
from peftsearch.tasks.task import Example
from peftsearch.tasks.task_format import TaskFormat


@torch.inference_mode()
def predict(model: nn.Module, task_format: TaskFormat, encoded: EncodedDataset, *, batch_size: int) -> list:
    """Predict every encoded example, in their order.

    Batches are cut from the examples sorted by length, so that little is padded.

    Args:
        model: on the device to use.
        task_format: how the task is put to the model.
        encoded: the examples, encoded.
        batch_size: examples.
    """
    device = next(model.parameters()).device
    lengths = encoded.lengths
    order = sorted(range(len(encoded)), key=lengths.__getitem__, reverse=True)
    loader = DataLoader(encoded, batch_size=batch_size, sampler=order, collate_fn=task_format.collate)
    was_training = model.training
    model.eval()
    predictions: list = [None] * len(order)
    position = 0
    for batch in loader:
        found = task_format.predict(model, {name: tensor.to(device) for name, tensor in batch.items()})
        for prediction in found:
            predictions[order[position]] = prediction
            position += 1
    model.train(was_training)
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
