"""The converter of tags for encoders and decoders: a head with a tag for each token, of which a first one counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DivergedError
from peftsearch.task_head import TOKENS, TaskHead
from peftsearch.tasks.encoded import IGNORED_LABEL, EncodedDataset, pad_inputs, pad_rows
from peftsearch.tasks.encoded_words import check_word_ids, tokenise_words
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.guessing import guess_classes
from peftsearch.tasks.metric_registry import score_task
from peftsearch.tasks.tag_errors import tag_errors
from peftsearch.tasks.tag_scores import complete_tags
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.tasks.token_losses import mean_over_tokens


@dataclass(eq=False)
class WordTagFormat(TaskFormat):
    """The task format of tags: the label of a word stands at its first token, all others do not count.

    Words beyond the limit are not read; they count as the task's first tag. `num_truncated` counts their rows, over
    all calls of `encode`.

    Args:
        task: its tags and metrics are used.
        tokenizer: the model's, of the tokenizers library.
        max_length: tokens kept of a row.

    Raises:
        ModelError: for a tokenizer without word ids.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    num_truncated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_word_ids(self.tokenizer)

    @property
    def head(self) -> TaskHead:
        """One output for each tag."""
        return TaskHead(TOKENS, len(self.task.labels), None, self.task.labels)

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise the words of examples; the labels of a row are those of its tokens."""
        found = tokenise_words(
            [example.words for example in examples], tokenizer=self.tokenizer, max_length=self.max_length
        )
        self.num_truncated += found.num_truncated
        lengths = map(len, found.columns["input_ids"])
        labels = [
            _at_starts(example.tags, starts, length)
            for example, starts, length in zip(examples, found.starts, lengths, strict=True)
        ]
        return EncodedDataset(found.columns, labels, num_truncated=found.num_truncated)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch.

        Shape:
            token columns and labels: (batch, tokens); labels are -100 but at the first token of a word.
        """
        batch = pad_inputs(features, tokenizer=self.tokenizer, max_length=self.max_length)
        width = batch["input_ids"].shape[1]
        labels = pad_rows([feature["labels"] for feature in features], width=width, fill=IGNORED_LABEL)
        return {**batch, "labels": labels}

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[list[int]]:
        """Predict the tag of each word of every row that is read, as an index of the task's labels.

        Raises:
            DivergedError: for outputs that are not finite.
        """
        logits = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
        counts = batch["labels"] != IGNORED_LABEL
        if not logits[counts].isfinite().all():
            raise DivergedError(
                "The model's outputs are not finite, so that no tag is the likeliest. Lower --training.learning_rate, "
                "or check the data and the model."
            )
        likeliest = logits.argmax(-1)
        return [row[own].tolist() for row, own in zip(likeliest, counts, strict=True)]

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task over all words, those beyond the limit included."""
        return score_task(self.task, complete_tags(predictions, examples), examples)

    def describe_errors(self, predictions: Sequence, examples: Sequence[Example]) -> ErrorReport:
        """Describe spans that were missed, mistaken or invented, or confused tags where there are no spans."""
        return tag_errors(predictions, examples, self.task.labels)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood of each row, its mean over the words; see `mean_over_tokens`."""
        return mean_over_tokens(outputs.logits, batch["labels"])

    def guess_losses(self, train: Sequence, validation: Sequence) -> list[float]:
        """Losses of guessing each tag by its share among the words in training, their mean over each row's words."""
        by_tag = self._guesses(train)
        return [fmean(by_tag[tag] for tag in _counted(row)) for row in validation]

    def first_outputs(self, train: Sequence) -> list[float]:
        """The logarithms of the tags' shares among the words in training."""
        return [-loss for loss in self._guesses(train)]

    def _guesses(self, train: Sequence) -> list[float]:
        """The loss of each tag, guessed by its share among the words in training."""
        return guess_classes([tag for row in train for tag in _counted(row)], (1.0,) * len(self.task.labels))


def _at_starts(tags: Sequence[int], starts: Sequence[int], length: int) -> list[int]:
    labels = [IGNORED_LABEL] * length
    for tag, start in zip(tags, starts):
        labels[start] = tag
    return labels


def _counted(row: Sequence[int]) -> list[int]:
    return [label for label in row if label != IGNORED_LABEL]
