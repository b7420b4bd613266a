"""The form in which a model reads a task's examples and answers them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftsearch.tasks.classification import ClassificationFormat
from peftsearch.tasks.encoded import EncodedDataset, check_max_length
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.text_to_text import TextToTextFormat

Prediction = int | float | str


class TaskFormat(Protocol):
    """Turns examples into batches, and a model's outputs into predictions and scores.

    An example may become several rows (ReCoRD: one for each candidate or each gold answer), in the order of the
    examples; predictions are one for each row.
    """

    num_truncated: int

    @property
    def num_labels(self) -> int | None:
        """Outputs of the classification head; None for text-to-text, which has no head."""

    @property
    def problem_type(self) -> str | None:
        """`problem_type` of the model's configuration; None for text-to-text."""

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise the examples; warns of how many were truncated."""

    def collate(self, features: Sequence[Mapping[str, object]]) -> dict[str, Tensor]:
        """Make a batch of items of an `EncodedDataset`, padded to a multiple of 8 tokens."""

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[Prediction]:
        """Answer every row of a batch; the caller sets evaluation and inference mode."""

    def score(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> dict[str, float]:
        """Return every metric of the task in percent, for predictions on all rows of `encode(examples)`."""


def make_task_format(
    task: Task, *, tokenizer: PreTrainedTokenizerBase, is_encoder_decoder: bool, max_length: int
) -> TaskFormat:
    """Choose the form for a kind of model: text-to-text for encoder-decoders, else a head over the fields.

    Args:
        task: gives goal, labels and metrics.
        tokenizer: of the model.
        is_encoder_decoder: of the model's configuration.
        max_length: tokens kept of an example.
    """
    check_max_length(max_length)
    task_format = TextToTextFormat if is_encoder_decoder else ClassificationFormat
    return task_format(task, tokenizer, max_length)
