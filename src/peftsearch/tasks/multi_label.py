"""The converter of several labels for encoders and decoders: a head with a yes or no for each label."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import PreTrainedTokenizerBase

from peftsearch.task_head import SEQUENCE, SEVERAL, TaskHead
from peftsearch.tasks.encoded import EncodedDataset, pad_inputs, tokenise
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.guessing import guess_labels, label_shares
from peftsearch.tasks.joined_fields import join_fields
from peftsearch.tasks.label_set_errors import label_set_errors
from peftsearch.tasks.label_set_scores import UNFITTED, as_rows, choose_threshold, give_labels
from peftsearch.tasks.metric_registry import measure
from peftsearch.tasks.metrics import MetricInputs
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.task_format import TaskFormat


@dataclass(eq=False)
class SeveralLabelsFormat(TaskFormat):
    """The task format of several labels a text; the loss is the mean binary cross-entropy over the labels.

    `num_truncated` counts the rows that were longer than the limit, over all calls of `encode`.

    Args:
        task: its labels and metrics are used.
        tokenizer: the model's.
        max_length: tokens kept of a row.
        threshold: least probability that gives a label; see `fitted`.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    threshold: float | None = UNFITTED
    num_truncated: int = field(default=0, init=False)

    @property
    def head(self) -> TaskHead:
        """One output for each label."""
        return TaskHead(SEQUENCE, len(self.task.labels), SEVERAL, self.task.labels)

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise examples; the label of a row is a 0 or a 1 for each label of the task."""
        texts, pairs = join_fields([example.fields for example in examples], self.tokenizer)
        tokens = tokenise(texts, pairs, tokenizer=self.tokenizer, max_length=self.max_length)
        self.num_truncated += tokens.num_truncated
        return EncodedDataset(tokens.columns, self._rows(examples), num_truncated=tokens.num_truncated)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch.

        Shape:
            token columns: (batch, tokens); labels: (batch, labels), in float32 as the loss needs them.
        """
        batch = pad_inputs(features, tokenizer=self.tokenizer, max_length=self.max_length)
        return {**batch, "labels": torch.tensor([feature["labels"] for feature in features], dtype=torch.float32)}

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[list[float]]:
        """Predict the probability of each label of every row."""
        logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
        # In double precision different logits stay different.
        return logits.cpu().double().sigmoid().tolist()

    def fitted(self, predictions: Sequence, examples: Sequence[Example]) -> "SeveralLabelsFormat":
        """The format with the threshold of the best micro F1 of some predictions; see `choose_threshold`."""
        return replace(self, threshold=choose_threshold(predictions, self._rows(examples)))

    def at_threshold(self, threshold: float | None) -> "SeveralLabelsFormat":
        """The format with a threshold that was chosen before; without one as it is."""
        return self if threshold is None else replace(self, threshold=threshold)

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task; labels are given by the threshold."""
        assert self.threshold is not None
        given = give_labels(predictions, self.threshold)
        return measure(self.task.metrics, MetricInputs(given, self._rows(examples), probabilities=predictions))

    def describe_errors(self, predictions: Sequence, examples: Sequence[Example]) -> ErrorReport:
        """The scores of each label, and texts with the most wrong ones, at the threshold of the format."""
        assert self.threshold is not None
        found = give_labels(predictions, self.threshold)
        return label_set_errors(found, examples, self.task.labels)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The binary cross-entropy of each row, its mean over the labels; its mean is the model's own loss."""
        logits = outputs.logits.float()
        return binary_cross_entropy_with_logits(logits, batch["labels"], reduction="none").mean(-1)

    def guess_losses(self, train: Sequence, validation: Sequence) -> list[float]:
        """Losses of guessing each label by its share in training."""
        return guess_labels(train, validation)

    def first_outputs(self, train: Sequence) -> list[float]:
        """The log-odds of the share of each label in training."""
        return [math.log(share / (1 - share)) for share in label_shares(train)]

    def _rows(self, examples: Sequence[Example]) -> list[list[int]]:
        return as_rows([example.label_indices for example in examples], len(self.task.labels))
