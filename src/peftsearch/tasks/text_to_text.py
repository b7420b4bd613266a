"""The converter of labels as texts, for encoder-decoders: numeric strings or one of some answers."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from peftsearch.errors import DataError
from peftsearch.task_head import TEXT_TO_TEXT, TaskHead
from peftsearch.tasks.answer_errors import answer_errors
from peftsearch.tasks.cells import as_number
from peftsearch.tasks.class_errors import class_errors
from peftsearch.tasks.class_losses import class_probabilities
from peftsearch.tasks.decoder_texts import collate_pairs, tokenise_targets, write_texts
from peftsearch.tasks.encoded import IGNORED_LABEL, EncodedDataset, pad_rows, tokenise
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.metric_registry import score_task
from peftsearch.tasks.number_errors import number_errors
from peftsearch.tasks.task import TRAIN, Example, Goal, Task
from peftsearch.tasks.task_format import TaskFormat
from peftsearch.tasks.token_losses import mean_over_tokens

logger = logging.getLogger(__name__)

# Share of the deviation of a regression's targets that rounding may change.
_ROUNDED_AWAY = 0.2
# Tokens of a generated answer; the reference code generates 20, the start token included.
_MAX_NEW_TOKENS = 19
_MAX_TARGET_LENGTH = 128
# With more distinct regression targets than this, numbers are generated instead of compared.
_MAX_CHOICES = 101
# Decoder rows (examples times choices) of one forward pass, which bounds the memory for many choices.
_MAX_DECODER_ROWS = 1024
_INVALID_NUMBER = -1.0


def source_text(task: Task, example: Example) -> str:
    """Join prefix, field labels and texts by single spaces, as in "cola sentence: ..."."""
    parts = [part for field in example.fields for part in field]
    return " ".join([task.prefix, *parts] if task.prefix else parts)


def target_texts(task: Task, example: Example) -> tuple[str, ...]:
    """List the strings to learn: a class index, a number rounded to 0.1, or every gold answer."""
    if task.goal is Goal.ANSWER:
        return example.answers
    return (number_text(example.number) if task.goal is Goal.REGRESSION else str(example.target),)


def number_text(number: float) -> str:
    """Write a number rounded to 0.1."""
    return str(round(float(number), 1))


@dataclass(eq=False)
class TextToTextFormat(TaskFormat):
    """The task format without a head: labels are chosen by comparing likelihoods, free answers generated greedily.

    A free-answer example becomes one row for each of its gold answers, in evaluation too.

    `num_truncated` counts the rows that were longer than the limit, over all calls of `encode`.

    Args:
        task: its goal, labels and metrics are used, and the training split's numbers of a regression.
        tokenizer: the model's.
        max_length: tokens kept of a source text.

    Source: the text forms of BIPEFT's and S3Delta's code. That code generates class labels; here their likelihoods are
        compared, which takes one decoder pass and cannot give an invalid label.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    num_truncated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        # There are none where a finished run predicts.
        if self.task.goal is Goal.REGRESSION and self.task.splits[TRAIN]:
            _check_rounding([example.number for example in self.task.splits[TRAIN]])

    @property
    def head(self) -> TaskHead:
        """No head of its own."""
        return TaskHead(TEXT_TO_TEXT)

    @property
    def choices(self) -> tuple[str, ...]:
        """The label strings to compare; empty if answers are generated."""
        return self._choices

    @cached_property
    def _choices(self) -> tuple[str, ...]:
        if self.task.goal is Goal.CLASSIFICATION:
            return tuple(str(index) for index in range(len(self.task.labels)))
        if self.task.goal is Goal.ANSWER:
            return ()
        found = {number_text(example.number) for example in self.task.splits[TRAIN]}
        return tuple(sorted(found, key=float)) if len(found) <= _MAX_CHOICES else ()

    @cached_property
    def _choice_ids(self) -> list[list[int]]:
        return self._target_ids(self.choices)

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise sources and targets."""
        pairs = [(source_text(self.task, e), target) for e in examples for target in target_texts(self.task, e)]
        sources = [source for source, _ in pairs]
        tokens = tokenise(sources, None, tokenizer=self.tokenizer, max_length=self.max_length)
        self.num_truncated += tokens.num_truncated
        labels = self._target_ids([target for _, target in pairs])
        return EncodedDataset(tokens.columns, labels, num_truncated=tokens.num_truncated)

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch; see `collate_pairs`."""
        return collate_pairs(features, tokenizer=self.tokenizer, max_length=self.max_length)

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[list[float]] | list[float] | list[str]:
        """Predict the probability of every class or the likeliest number, or generate a number or answer."""
        if self.choices:
            likelihoods = choice_likelihoods(model, batch, self._choice_ids)
            if self.task.goal is Goal.CLASSIFICATION:
                return class_probabilities(likelihoods)
            return [float(self.choices[i]) for i in likelihoods.argmax(-1).tolist()]
        texts = write_texts(model, batch, tokenizer=self.tokenizer, max_new_tokens=_MAX_NEW_TOKENS)
        return texts if self.task.goal is Goal.ANSWER else [parse_number(text) for text in texts]

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task."""
        return score_task(self.task, predictions, [e for e in examples for _ in target_texts(self.task, e)])

    def describe_errors(self, predictions: Sequence, examples: Sequence[Example]) -> ErrorReport:
        """Describe confused classes, numbers that are far off, or wrong answers."""
        if self.task.goal is Goal.CLASSIFICATION:
            return class_errors(predictions, examples, self.task.labels)
        if self.task.goal is Goal.REGRESSION:
            return number_errors(predictions, examples)
        # All rows of an example have the same source, and so the same answer.
        found = iter(predictions)
        answers = [[next(found) for _ in target_texts(self.task, example)][0] for example in examples]
        return answer_errors(answers, examples)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood of each target, its mean over the tokens; see `mean_over_tokens`."""
        return mean_over_tokens(outputs.logits, batch["labels"])

    def _target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return tokenise_targets(texts, tokenizer=self.tokenizer, max_length=_MAX_TARGET_LENGTH).ids


def parse_number(text: str) -> float:
    """Read a number from a text; -1 if the text is no finite number."""
    number = as_number(text)
    return number if number is not None and math.isfinite(number) else _INVALID_NUMBER


def _check_rounding(targets: Sequence[float]) -> None:
    """Say how many numbers are rounded, and refuse to learn numbers of which rounding leaves little.

    Raises:
        DataError: if the error of rounding is larger than a fifth of the numbers' deviation.
    """
    errors = [float(number_text(target)) - target for target in targets]
    error, deviation = math.sqrt(fmean(e * e for e in errors)), pstdev(targets)
    changed = sum(e != 0 for e in errors)
    if error > _ROUNDED_AWAY * deviation:
        raise DataError(
            f"Text-to-text models write numbers with one decimal, but the training targets differ by {deviation:g} on "
            f"average, and rounding changes them by {error:g}. Multiply them by a power of ten, or take an encoder or "
            "a decoder, whose head learns numbers of any size."
        )
    if changed:
        logger.warning(
            "%d of %d training targets are rounded to one decimal for a text-to-text model.", changed, len(targets)
        )


def choice_likelihoods(model: Any, batch: Mapping[str, Tensor], choice_ids: Sequence[Sequence[int]]) -> Tensor:
    """Compute the log-likelihood of every choice for every source text, end tokens included.

    The encoder runs once. Its output is repeated for each choice in one decoder pass, or several for many choices.

    Args:
        model: an encoder-decoder model of transformers, or peft's around one.
        batch: source texts, with `input_ids` and `attention_mask` (batch, tokens).
        choice_ids: target tokens of each choice.

    Returns:
        (batch, choices).
    """
    mask = batch["attention_mask"]
    states = model.get_encoder()(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
    step = max(1, _MAX_DECODER_ROWS // len(mask))
    width = max(map(len, choice_ids))
    choices = pad_rows(choice_ids, width=width, fill=IGNORED_LABEL).to(mask.device)
    parts = [_decode(model, states, mask, part) for part in choices.split(step)]
    return torch.cat(parts, dim=1)


def _decode(model: Any, states: Tensor, mask: Tensor, choices: Tensor) -> Tensor:
    """Compute log-likelihoods (batch, choices) from states (batch, tokens, width) and choices (choices, tokens)."""
    num_rows, num_choices = len(states), len(choices)
    labels = choices.repeat(num_rows, 1)
    # No labels are passed: the loss is not needed, and a reloaded AdaLoRA of peft cannot compute it.
    logits = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=states.repeat_interleave(num_choices, dim=0)),
        attention_mask=mask.repeat_interleave(num_choices, dim=0),
        decoder_input_ids=model.prepare_decoder_input_ids_from_labels(labels=labels),
        use_cache=False,
    ).logits
    losses = nn.functional.cross_entropy(
        logits.float().transpose(1, 2), labels, ignore_index=IGNORED_LABEL, reduction="none"
    )
    return -losses.sum(-1).view(num_rows, num_choices)
