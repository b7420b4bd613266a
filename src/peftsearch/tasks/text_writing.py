"""The converter of texts to write, for encoder-decoders: a source text in, a target text out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftsearch.task_head import TEXT_TO_TEXT, TaskHead
from peftsearch.tasks.decoder_texts import collate_pairs, score_targets, tokenise_targets, write_texts
from peftsearch.tasks.encoded import EncodedDataset, tokenise, tokenise_again
from peftsearch.tasks.metric_registry import score_task, score_texts
from peftsearch.tasks.target_limits import TargetLimits
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.task_format import Prediction, TaskFormat
from peftsearch.tasks.token_losses import mean_over_tokens

logger = logging.getLogger(__name__)


def source_text(example: Example) -> str:
    """The text that is read: the only field as it is, or several with their labels, "question: ... context: ..."."""
    if len(example.fields) == 1:
        return example.fields[0][1]
    return " ".join(part for field in example.fields for part in field)


@dataclass(eq=False)
class TextWritingFormat(TaskFormat):
    """The task format of texts to write, which are learned token by token.

    Its predictions are scores of the tokens of each target; `answering` gives the format that writes.
    `num_truncated` counts the rows whose source was longer than the limit, over all calls of `encode`.

    Args:
        task: its metrics are used.
        tokenizer: the model's.
        max_length: tokens kept of a source text.
        limits: of target texts and written ones.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    limits: TargetLimits
    num_truncated: int = field(default=0, init=False)

    @property
    def head(self) -> TaskHead:
        """No head of its own."""
        return TaskHead(TEXT_TO_TEXT)

    @property
    def max_new_tokens(self) -> int:
        """Tokens of a text that the model writes."""
        return self.limits.max_new_tokens or self.limits.max_length

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise sources and targets, one row an example."""
        tokens = tokenise(self._sources(examples), None, tokenizer=self.tokenizer, max_length=self.max_length)
        self.num_truncated += tokens.num_truncated
        texts, longest = self.wanted_texts(examples), self.limits.max_length
        targets = tokenise_targets(texts, tokenizer=self.tokenizer, max_length=longest)
        if targets.num_truncated:
            logger.warning(
                "%d of %d targets were longer than %d tokens (--training.max_target_length) and were truncated.",
                *(targets.num_truncated, len(examples), longest),
            )
        return EncodedDataset(
            tokens.columns,
            targets.ids,
            num_truncated=tokens.num_truncated,
            num_truncated_targets=targets.num_truncated,
        )

    def _sources(self, examples: Sequence[Example]) -> list[str]:
        return [source_text(example) for example in examples]

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch; see `collate_pairs`."""
        return collate_pairs(features, tokenizer=self.tokenizer, max_length=self.max_length)

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Sequence[Prediction]:
        """Score the tokens of each row's target."""
        return score_targets(model, batch)

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute the metrics of the task that read scores of tokens."""
        return score_task(self.task, predictions, examples)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood of each target, its mean over the tokens; see `mean_over_tokens`."""
        return mean_over_tokens(outputs.logits, batch["labels"])

    def wanted_texts(self, examples: Sequence[Example]) -> list[str]:
        """The target of each example."""
        return [example.text for example in examples]

    def score_texts(self, texts: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
        """Compute the metrics of the task that read what a model writes."""
        return score_texts(self.task, texts, self.wanted_texts(examples))

    def answering(self) -> TaskFormat:
        """The format whose predictions are what the model writes for each source."""
        return _AnsweringFormat(self.task, self.tokenizer, self.max_length, self.limits)


class _AnsweringFormat(TextWritingFormat):
    """The same with texts as predictions, which take as many passes as they have tokens."""

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise sources; there are no labels."""
        tokens = tokenise_again(self._sources(examples), None, tokenizer=self.tokenizer, max_length=self.max_length)
        self.num_truncated += tokens.num_truncated
        return EncodedDataset(tokens.columns, [()] * len(examples), num_truncated=tokens.num_truncated)

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Sequence[Prediction]:
        """Write a text for each source, the likeliest token each time, until the model ends or the limit is met."""
        return write_texts(model, batch, tokenizer=self.tokenizer, max_new_tokens=self.max_new_tokens)
