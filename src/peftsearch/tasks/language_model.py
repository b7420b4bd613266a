"""The converter of texts, prompts and chats for causal models, which learn the next token."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DataError
from peftsearch.task_head import CAUSAL_LM, TaskHead
from peftsearch.tasks.encoded import IGNORED_LABEL, EncodedDataset, pad_inputs, pad_rows
from peftsearch.tasks.metric_registry import score_task, score_texts
from peftsearch.tasks.next_tokens import forward_at_labels, row_losses, score_rows
from peftsearch.tasks.target_limits import DEFAULT_LIMITS, TargetLimits
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.tasks.token_scores import TokenScore
from peftsearch.tasks.wanted_text import wanted_text

logger = logging.getLogger(__name__)

# Tokens of a completion.
MAX_NEW_TOKENS = 256
# Numbers in the logits of a pass, which bounds their memory to half a gigabyte, and to three times that in training.
_MAX_LOGITS = 2**27
# Rows that a message names.
_NAMED = 5


class LabelledTokens(NamedTuple):
    """The tokens of a row, and the label of each: itself, or -100 where it does not count in the loss."""

    ids: list[int]
    labels: list[int]


class TokenReader(Protocol):
    """How the examples of a task become tokens."""

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """The tokens each of which ends what the model writes."""
        ...

    def learn(self, examples: Sequence[Example]) -> list[LabelledTokens]:
        """The tokens of each example with its answer, however many they are.

        Raises:
            DataError: for an example that cannot be read, with its row.
        """
        ...

    def ask(self, examples: Sequence[Example]) -> list[list[int]]:
        """The tokens of each example up to where the answer begins.

        Raises:
            DataError: as `learn`.
        """
        ...


@dataclass(eq=False)
class LanguageModelFormat(TaskFormat):
    """The task format of causal models: no head, and the loss of the tokens that count.

    Rows are cut to their first tokens, and those of which no token that counts is left are left out.
    `num_truncated` counts the rows that were longer than the limit, over all calls of `encode`.

    Args:
        task: its metrics are used.
        tokenizer: the model's.
        max_length: tokens kept of a row.
        reader: makes tokens of examples.
        packs: whether training texts are joined and cut into rows of the limit, so that nothing is padded.
        limits: of what the model writes.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    reader: TokenReader
    packs: bool = False
    limits: TargetLimits = DEFAULT_LIMITS
    num_truncated: int = field(default=0, init=False)

    @property
    def head(self) -> TaskHead:
        """No head of its own."""
        return TaskHead(CAUSAL_LM)

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise examples; the labels of a row are its tokens, or -100 where one does not count.

        Raises:
            DataError: if no token that counts is left of any.
        """
        found = self.reader.learn(examples)
        num_truncated = sum(len(row.ids) > self.max_length for row in found)
        self.num_truncated += num_truncated
        if num_truncated:
            logger.warning(
                "%d of %d examples were longer than %d tokens and were truncated.",
                num_truncated,
                len(found),
                self.max_length,
            )
        cut = [_cut(row, self.max_length) for row in found]
        empty = [example for example, row in zip(examples, cut, strict=True) if not _counts(row)]
        _tell_of_empty(empty, count=len(found), max_length=self.max_length)
        kept = [row for row in cut if _counts(row)]
        return _dataset(kept, num_truncated=num_truncated, num_left_out=len(empty))

    def encode_for_training(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise examples as `encode` does, or pack them: joined in their order, and cut wherever a row is full.

        Source: "wrapped" packing of TRL. Tokens attend to those of the texts before them in the row.
        """
        if not self.packs:
            return self.encode(examples)
        found = self.reader.learn(examples)
        ids, labels = ([token for row in found for token in row[part]] for part in range(2))
        starts = range(0, len(ids), self.max_length)
        rows = (LabelledTokens(ids[k : k + self.max_length], labels[k : k + self.max_length]) for k in starts)
        packed = [row for row in (_cut(row, self.max_length) for row in rows) if _counts(row)]
        logger.info("%d texts are packed into %d rows of up to %d tokens.", len(found), len(packed), self.max_length)
        return _dataset(packed)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch.

        Shape:
            token columns and labels: (batch, tokens); a label stands at its own token, and is -100 where it does not
            count.
        """
        batch = pad_inputs(features, tokenizer=self.tokenizer, max_length=self.max_length)
        width = batch["input_ids"].shape[1]
        labels = pad_rows([feature["labels"] for feature in features], width=width, fill=IGNORED_LABEL)
        return {**batch, "labels": labels}

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Any:
        """The outputs of a model on a batch with its loss, and logits where a label counts: (counted, vocabulary)."""
        return forward_at_labels(model, batch, with_loss=True)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood of each row, its mean over the tokens that count."""
        return row_losses(outputs.logits, batch["labels"])

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss of each row, with the logits of some rows at a time."""
        return torch.cat([row_losses(_logits(model, part), part["labels"]) for part in self.passes(batch)])

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[TokenScore]:
        """Score the tokens of each row, with the logits of some rows at a time."""
        return [score for part in self.passes(batch) for score in score_rows(_logits(model, part), part["labels"])]

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task over all tokens that count."""
        return score_task(self.task, predictions, examples)

    @property
    def max_new_tokens(self) -> int:
        """Tokens of a text that the model writes."""
        return self.limits.max_new_tokens or MAX_NEW_TOKENS

    def wanted_texts(self, examples: Sequence[Example]) -> list[str]:
        """The completion or answer of each example; none for whole texts."""
        if self.task.goal is Goal.LANGUAGE_MODEL:
            return []
        return [wanted_text(example, self.task.goal) for example in examples]

    def score_texts(self, texts: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
        """Compute the metrics of the task that read what a model writes."""
        return score_texts(self.task, texts, [text.strip() for text in self.wanted_texts(examples)])

    def answering(self) -> TaskFormat:
        """The format whose predictions are what the model writes after each prompt."""
        from peftsearch.tasks.completions import CompletionFormat

        return CompletionFormat(self.task, self.tokenizer, self.max_length, self.reader, limits=self.limits)

    def passes(self, batch: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Cut a batch into rows whose logits are within a bound of memory, at least one row at a time."""
        limit = max(1, _MAX_LOGITS // len(self.tokenizer))
        counts = (batch["labels"] != IGNORED_LABEL).sum(1).tolist()
        start, total = 0, 0
        for row, count in enumerate(counts):
            if total and total + count > limit:
                yield {name: tensor[start:row] for name, tensor in batch.items()}
                start, total = row, 0
            total += count
        yield {name: tensor[start:] for name, tensor in batch.items()}


def _logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    return forward_at_labels(model, batch, with_loss=False).logits


def _cut(row: LabelledTokens, max_length: int) -> LabelledTokens:
    """The first tokens of a row; nothing predicts the first one, so that it does not count."""
    return LabelledTokens(row.ids[:max_length], [IGNORED_LABEL, *row.labels[1:max_length]])


def _counts(row: LabelledTokens) -> bool:
    return any(label != IGNORED_LABEL for label in row.labels)


def _dataset(rows: Sequence[LabelledTokens], *, num_truncated: int = 0, num_left_out: int = 0) -> EncodedDataset:
    columns = {"input_ids": [row.ids for row in rows], "attention_mask": [[1] * len(row.ids) for row in rows]}
    labels = [row.labels for row in rows]
    return EncodedDataset(columns, labels, num_truncated=num_truncated, num_left_out=num_left_out)


def _tell_of_empty(empty: Sequence[Example], *, count: int, max_length: int) -> None:
    """Say which rows are left out since the limit leaves no token of them that counts.

    Args:
        empty: the rows.
        count: of all rows.
        max_length: the limit in tokens.

    Raises:
        DataError: if they are all rows.
    """
    if empty and len(empty) == count:
        raise DataError(
            f"Within {max_length} tokens none of the {count} rows has a token that counts in the loss: the limit ends "
            "before their completions begin. Raise --max_seq_length, or shorten the prompts."
        )
    if empty:
        named = [example.where or "an example" for example in empty[:_NAMED]]
        more = f" and {len(empty) - _NAMED:,} more" if len(empty) > _NAMED else ""
        logger.warning(
            "%d of %d examples are left out, since %d tokens end before their completions begin: they would train "
            "nothing: %s%s. Raise --max_seq_length to keep them.",
            *(len(empty), count, max_length, ", ".join(named), more),
        )
