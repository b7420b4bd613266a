"""A task format of two classes whose rows are token ids of one length already."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from peftsearch.tasks.classification import ClassificationFormat
from peftsearch.tasks.task import Goal, Task

TASK = Task("yes", Goal.CLASSIFICATION, ("no", "yes"), "accuracy", "accuracy", {}, "", 8)


class TwoClasses(ClassificationFormat):
    """The format of two classes with or without weights; batches are rows put together."""

    def __init__(self, class_weights: tuple[float, ...] = ()):
        super().__init__(TASK, None, 8, class_weights)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        batch = {name: torch.stack([torch.as_tensor(f[name]) for f in features]) for name in ("input_ids", "labels")}
        return batch | {"attention_mask": torch.ones_like(batch["input_ids"])}
