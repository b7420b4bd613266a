"""The task format of models that read pictures: a classification head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BaseImageProcessor, PreTrainedModel

from peftsearch.task_head import PICTURE, TaskHead
from peftsearch.tasks.class_errors import class_errors
from peftsearch.tasks.class_losses import class_losses, class_probabilities, guessed_losses, weighted_mean
from peftsearch.tasks.encoded_pictures import EncodedPictures
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.metric_registry import score_task
from peftsearch.tasks.picture_file import is_inlined, read_picture
from peftsearch.tasks.picture_inputs import check_takes_pictures, make_pixels
from peftsearch.tasks.reading import Fields
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.task_format import TaskFormat


@dataclass(eq=False)
class PictureFormat(TaskFormat):
    """The task format of pictures, which the model's own image processor resizes, rescales and normalises.

    Args:
        task: its classes and metrics are used.
        image_processor: the model's.
        class_weights: of each class in the loss; empty where all examples count alike.
    """

    task: Task
    image_processor: BaseImageProcessor
    class_weights: tuple[float, ...] = ()
    max_length: int = field(default=0, init=False)
    num_truncated: int = field(default=0, init=False)

    @property
    def head(self) -> TaskHead:
        """One output for each class."""
        return TaskHead(PICTURE, len(self.task.labels), "single_label_classification", self.task.labels)

    def encode(self, examples: Sequence[Example]) -> EncodedPictures:
        """The pictures of examples, which are decoded when they are asked for."""
        references = [example.fields[0][1] for example in examples]
        return EncodedPictures(references, [int(example.number) for example in examples], self._read)

    def _read(self, reference: str) -> Tensor:
        return make_pixels(self.image_processor, read_picture(reference, where="an example of the task").pixels)

    def check_model(self, model: PreTrainedModel, name: str) -> None:
        """Refuse a model that does not take what its image processor makes; see `check_takes_pictures`."""
        check_takes_pictures(name, model, self.image_processor)

    @property
    def saved_processor(self) -> BaseImageProcessor:
        """The image processor, a small file, so that pictures can be prepared without the pretrained model."""
        return self.image_processor

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a batch.

        Shape:
            pixel_values: (batch, channels, height, width); labels: (batch,).
        """
        pixels = torch.stack([feature["pixel_values"] for feature in features])
        return {"pixel_values": pixels, "labels": torch.tensor([feature["labels"] for feature in features])}

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[list[float]]:
        """Predict the probability of every class of every picture."""
        return class_probabilities(model(pixel_values=batch["pixel_values"]).logits.float())

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task."""
        return score_task(self.task, predictions, examples)

    def describe_errors(self, predictions: Sequence, examples: Sequence[Example]) -> ErrorReport:
        """Describe confused classes; pictures that are in the table itself have no name to be quoted by."""
        named = [replace(example, fields=_named(example.fields)) for example in examples]
        return class_errors(predictions, named, self.task.labels)

    def mean_loss(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of a batch, in which each example counts as much as its class weighs; see `weighted_mean`."""
        return weighted_mean(outputs, batch, self.class_weights)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood of each picture, times the weight of its class: (batch,)."""
        return class_losses(outputs.logits, batch["labels"], self.class_weights)

    def guess_losses(self, train: Sequence, validation: Sequence) -> list[float]:
        """Losses of guessing each class by its share in training."""
        return guessed_losses(train, validation, num_classes=len(self.task.labels), weights=self.class_weights)


def _named(fields: Fields) -> Fields:
    """The fields of a picture with its path, or with words where the table itself holds it."""
    return tuple((label, "(in the table)" if is_inlined(text) else text) for label, text in fields)
