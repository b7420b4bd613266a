"""The task format of encoders and decoders: a classification or regression head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DataError
from peftsearch.task_head import SEQUENCE, TaskHead
from peftsearch.tasks.answer_errors import answer_errors
from peftsearch.tasks.class_errors import class_errors
from peftsearch.tasks.class_losses import class_losses, class_probabilities, guessed_losses, weighted_mean
from peftsearch.tasks.encoded import EncodedDataset, pad_inputs, tokenise
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.guessing import guess_numbers
from peftsearch.tasks.joined_fields import join_fields
from peftsearch.tasks.metric_registry import score_task
from peftsearch.tasks.number_errors import number_errors
from peftsearch.tasks.target_scale import AS_GIVEN, TargetScale
from peftsearch.tasks.task import TRAIN, Example, Goal, Task
from peftsearch.tasks.task_format import TaskFormat

_PLACEHOLDER = "@placeholder"
_QUERY = "query:"
# The field of a free-answer task that is left out, since each row shows one candidate.
_CANDIDATES = "entities:"


@dataclass(eq=False)
class ClassificationFormat(TaskFormat):
    """The task format with a head on the model; for free answers, a yes-or-no head rates each candidate.

    `num_truncated` counts the rows that were longer than the limit, over all calls of `encode`.

    Args:
        task: its goal, labels and metrics are used.
        tokenizer: the model's.
        max_length: tokens kept of a row.
        class_weights: of each class in the loss; empty where all examples count alike.
        scale: of a regression's targets in training; without it the model gives numbers in the user's units.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    class_weights: tuple[float, ...] = ()
    num_truncated: int = field(default=0, init=False)
    scale: TargetScale = AS_GIVEN

    @property
    def head(self) -> TaskHead:
        """One output for each class, one for a number, or two for a candidate."""
        if self._is_regression:
            return TaskHead(SEQUENCE, 1, "regression")
        labels = self.task.labels if self.task.goal is Goal.CLASSIFICATION else ()
        return TaskHead(SEQUENCE, self.num_classes, "single_label_classification", labels)

    @property
    def num_classes(self) -> int:
        """Outputs of a head with classes: two for a candidate, which is the answer or not."""
        return len(self.task.labels) if self.task.goal is Goal.CLASSIFICATION else 2

    @property
    def _is_regression(self) -> bool:
        return self.task.goal is Goal.REGRESSION

    def standardised(self, *, has_bias: bool) -> "ClassificationFormat":
        """The format for trainings, whose models see targets of mean 0 and deviation 1.

        Args:
            has_bias: whether the head's last layer has a bias; without one the mean stays in the targets.

        Raises:
            DataError: for numbers that float32 cannot hold or tell apart.
        """
        targets = [example.number for example in self.task.splits[TRAIN]]
        return replace(self, scale=TargetScale.of(targets, has_bias=has_bias))

    def of_saved_models(self) -> "ClassificationFormat":
        """The format for saved models, which give numbers in the user's units."""
        return replace(self, scale=AS_GIVEN)

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise examples: one row for each, or for each candidate of each."""
        rows = [row for example in examples for row in self._rows(example)]
        texts, pairs = join_fields([row.fields for row in rows], self.tokenizer)
        tokens = tokenise(texts, pairs, tokenizer=self.tokenizer, max_length=self.max_length)
        self.num_truncated += tokens.num_truncated
        labels = (
            [self.scale.standardise(row.number) for row in rows]
            if self._is_regression
            else [int(row.number) for row in rows]
        )
        return EncodedDataset(tokens.columns, labels, num_truncated=tokens.num_truncated)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch.

        Shape:
            token columns: (batch, tokens); labels: (batch,).
        """
        batch = pad_inputs(features, tokenizer=self.tokenizer, max_length=self.max_length)
        dtype = torch.float32 if self._is_regression else torch.long
        return {**batch, "labels": torch.tensor([feature["labels"] for feature in features], dtype=dtype)}

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[list[float]] | list[float]:
        """Predict the probability of every class, the number, or the probability of "yes" of every row."""
        logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits.float()
        if self.task.goal is Goal.CLASSIFICATION:
            return class_probabilities(logits)
        if self._is_regression:
            return [self.scale.restore(number) for number in logits.squeeze(-1).tolist()]
        return logits.softmax(-1)[:, 1].tolist()

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric; an answer is the most probable candidate."""
        if self.task.goal is Goal.ANSWER:
            predictions = _choose_candidates(predictions, examples)
        return score_task(self.task, predictions, examples)

    def describe_errors(self, predictions: Sequence, examples: Sequence[Example]) -> ErrorReport:
        """Describe confused classes, numbers that are far off, or wrong answers."""
        if self.task.goal is Goal.CLASSIFICATION:
            return class_errors(predictions, examples, self.task.labels)
        if self._is_regression:
            return number_errors(predictions, examples)
        return answer_errors(_choose_candidates(predictions, examples), examples)

    def mean_loss(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of a batch, in which each example counts as much as its class weighs; see `weighted_mean`."""
        return weighted_mean(outputs, batch, self.class_weights)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of each row of a batch; its mean is that of `mean_loss`.

        Returns:
            (batch,) the negative log-likelihood, times the weight of the class; for numbers the squared difference.
        """
        logits, labels = outputs.logits.float(), batch["labels"]
        if self._is_regression:
            return (logits.squeeze(-1) - labels) ** 2
        return class_losses(logits, labels, self.class_weights)

    def guess_losses(self, train: Sequence, validation: Sequence) -> list[float]:
        """Losses of guessing each class by its share in training, or of the mean of all numbers."""
        if self._is_regression:
            return guess_numbers(train, validation)
        return guessed_losses(train, validation, num_classes=self.num_classes, weights=self.class_weights)

    def _rows(self, example: Example) -> list[Example]:
        return _expand_candidates(example) if self.task.goal is Goal.ANSWER else [example]


def _expand_candidates(example: Example) -> list[Example]:
    """Make a yes-or-no row for each candidate: the passage, and the query with the candidate in its gap."""
    texts = dict(example.fields)
    context = tuple(field for field in example.fields if field[0] not in (_QUERY, _CANDIDATES))
    return [
        Example(
            fields=(*context, (_QUERY, texts[_QUERY].replace(_PLACEHOLDER, candidate))),
            target=int(candidate in example.answers),
        )
        for candidate in example.candidates
    ]


def _choose_candidates(probabilities: Sequence[float], examples: Sequence[Example]) -> list[str]:
    num_candidates = sum(len(example.candidates) for example in examples)
    if len(probabilities) != num_candidates:
        raise DataError(
            f"{len(probabilities)} predictions for {num_candidates} candidates can't be scored. Give one prediction "
            "for each row of the encoded examples, in their order."
        )
    answers, start = [], 0
    for example in examples:
        own = probabilities[start : start + len(example.candidates)]
        answers.append(max(zip(own, example.candidates), key=lambda pair: pair[0])[1])
        start += len(example.candidates)
    return answers
