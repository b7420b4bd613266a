"""The converter of spans for encoders and decoders: a head that rates each token as start and end of the answer."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from peftsearch.errors import DivergedError
from peftsearch.task_head import SPANS, TaskHead
from peftsearch.tasks.context_windows import OUTSIDE, Windows, check_offsets, cut_into_windows, overlap_of
from peftsearch.tasks.encoded import EncodedDataset, pad_inputs, pad_rows
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.metric_registry import measure
from peftsearch.tasks.metrics import MetricInputs
from peftsearch.tasks.span_choice import Answer, WindowSpans, best_spans, choose_answer, gold_texts, group_windows
from peftsearch.tasks.span_errors import span_errors
from peftsearch.tasks.span_rules import SpanRules
from peftsearch.tasks.task import Example, Task
from peftsearch.tasks.task_format import TaskFormat

logger = logging.getLogger(__name__)

# Columns of an encoded row besides the tokens that the model reads.
_STARTS, _ENDS, _PLACE = "char_starts", "char_ends", "place"
# transformers' own names, by which the head of a checkpoint that was trained for spans is kept.
_OUTPUTS = ("LABEL_0", "LABEL_1")


@dataclass(eq=False)
class AnswerSpanFormat(TaskFormat):
    """The task format of answers that are spans of a context, with a row for each window of a long context.

    The first gold answer is learned. In a window that does not hold all of it, start and end are the token that
    stands for no answer: the classification token, else the first one. `num_truncated` counts the questions that were
    cut, over all calls of `encode`.

    Args:
        task: its rules and metrics are used.
        tokenizer: the model's, of the tokenizers library.
        max_length: tokens of a window with its question.

    Raises:
        ModelError: for a tokenizer that does not tell the characters of its tokens.
        DataError: for windows that share too many tokens.
    """

    task: Task
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    num_truncated: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        check_offsets(self.tokenizer)
        wanted = self.rules.context_overlap
        self.overlap = overlap_of(self.tokenizer, max_length=self.max_length, wanted=wanted)

    @property
    def rules(self) -> SpanRules:
        """How answers are looked for."""
        return self.task.span_rules or SpanRules()

    @property
    def head(self) -> TaskHead:
        """Two outputs for each token: whether it starts the answer, and whether it ends it."""
        return TaskHead(SPANS, len(_OUTPUTS), None, _OUTPUTS)

    def encode(self, examples: Sequence[Example]) -> EncodedDataset:
        """Tokenise examples: a row for each window, whose labels are the first and the last token of the answer."""
        questions, contexts = ([example.fields[i][1] for example in examples] for i in (0, 1))
        windows = cut_into_windows(
            questions, contexts, tokenizer=self.tokenizer, max_length=self.max_length, overlap=self.overlap
        )
        self.num_truncated += windows.num_cut
        places = self._places(windows)
        labels = [
            self._label(examples[example], windows.starts[row], windows.ends[row], places[row][1])
            for row, example in enumerate(windows.examples)
        ]
        columns = {**windows.columns, _STARTS: windows.starts, _ENDS: windows.ends, _PLACE: places}
        _tell(windows, examples, labels, places)
        return EncodedDataset(columns, labels, num_truncated=windows.num_cut)

    def _places(self, windows: Windows) -> list[list[int]]:
        """The number of each window in its context, and the place of the token that stands for no answer."""
        found: list[list[int]] = []
        for row, ids in enumerate(windows.columns["input_ids"]):
            is_next = row > 0 and windows.examples[row] == windows.examples[row - 1]
            marks = [self.tokenizer.cls_token_id, self.tokenizer.bos_token_id]
            no_answer = next((ids.index(mark) for mark in marks if mark is not None and mark in ids), 0)
            found.append([found[-1][0] + 1 if is_next else 0, no_answer])
        return found

    def _label(self, example: Example, starts: Sequence[int], ends: Sequence[int], no_answer: int) -> list[int]:
        """The first and last token of the answer; twice that of no answer if not all of it is in the window."""
        own = [i for i, start in enumerate(starts) if start != OUTSIDE]
        if not example.spans or not own:
            return [no_answer, no_answer]
        begin, end = example.spans[0]
        tokens = [i for i in own if starts[i] < end and ends[i] > begin]
        is_whole = starts[own[0]] <= begin and ends[own[-1]] >= end
        return [tokens[0], tokens[-1]] if tokens and is_whole else [no_answer, no_answer]

    def collate(self, features: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """Make a padded batch.

        Shape:
            token columns, and the characters at which tokens begin and end: (batch, tokens); the number of the window
            with the place of no answer, and labels: (batch, 2).
        """
        tokens = [{name: f[name] for name in f if name not in (_STARTS, _ENDS, _PLACE)} for f in features]
        batch = pad_inputs(tokens, tokenizer=self.tokenizer, max_length=self.max_length)
        width = batch["input_ids"].shape[1]
        chars = {name: pad_rows([f[name] for f in features], width=width, fill=OUTSIDE) for name in (_STARTS, _ENDS)}
        pairs = {name: torch.tensor([f[name] for f in features]) for name in (_PLACE, "labels")}
        return {**batch, **chars, **pairs}

    def inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the model reads of a batch: the token columns."""
        others = (_STARTS, _ENDS, _PLACE, "labels")
        return {name: tensor for name, tensor in batch.items() if name not in others}

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Any:
        """The outputs of a model on a batch, with its loss: the mean of that of the start and that of the end."""
        start, end = batch["labels"].unbind(-1)
        return model(**self.inputs(batch), start_positions=start, end_positions=end)

    def predict(self, model: nn.Module, batch: Mapping[str, Tensor]) -> list[WindowSpans]:
        """Predict the likeliest spans of each window.

        Raises:
            DivergedError: for outputs that are not finite.
        """
        outputs = model(**self.inputs(batch))
        is_outside = batch[_STARTS] == OUTSIDE
        logits = torch.stack([outputs.start_logits, outputs.end_logits]).float()
        if not logits[:, ~is_outside].isfinite().all():
            raise DivergedError(
                "The model's outputs are not finite, so that no span is the likeliest. Lower "
                "--training.learning_rate, or check the data and the model."
            )
        windows, no_answer = batch[_PLACE].unbind(-1)
        absent = logits.sum(0).gather(1, no_answer[:, None]).squeeze(1).tolist()
        start, end = logits.masked_fill(is_outside, -torch.inf)
        found = best_spans(start, end, max_length=self.rules.max_answer_length)
        chars = zip(batch[_STARTS].tolist(), batch[_ENDS].tolist(), strict=True)
        return [
            WindowSpans(
                window,
                tuple((starts[first], ends[last]) for first, last, _ in spans),
                tuple(score for _, _, score in spans),
                none,
            )
            for window, spans, (starts, ends), none in zip(windows.tolist(), found, chars, absent, strict=True)
        ]

    def of_examples(self, predictions: Sequence, examples: Sequence[Example]) -> list[Answer]:
        """The answer of each question, chosen over all windows of its context."""
        grouped = group_windows(predictions, examples)
        pairs = zip(grouped, examples, strict=True)
        return [choose_answer(windows, example.fields[1][1], self.rules) for windows, example in pairs]

    def score(self, predictions: Sequence, examples: Sequence[Example]) -> dict[str, float]:
        """Compute every metric of the task over the answers."""
        answers = [answer.text for answer in self.of_examples(predictions, examples)]
        return measure(self.task.metrics, MetricInputs(answers, [gold_texts(example) for example in examples]))

    def describe_errors(self, predictions: Sequence, examples: Sequence[Example]) -> ErrorReport:
        """Show wrong answers, and where an answer is missing or invented."""
        return span_errors([answer.text for answer in self.of_examples(predictions, examples)], examples)

    def row_losses(self, outputs: Any, batch: Mapping[str, Tensor]) -> Tensor:
        """The negative log-likelihood of each window's start and end, their mean."""
        start, end = batch["labels"].unbind(-1)
        losses = [
            cross_entropy(logits.float(), labels, reduction="none")
            for logits, labels in ((outputs.start_logits, start), (outputs.end_logits, end))
        ]
        return (losses[0] + losses[1]) / 2


def _tell(
    windows: Windows, examples: Sequence[Example], labels: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
) -> None:
    """Say how many windows there are, and warn of answers that no window holds."""
    if len(windows.examples) > len(examples):
        logger.info("%d contexts are read in %d windows.", len(examples), len(windows.examples))
    rows = zip(windows.examples, labels, places, strict=True)
    held = {example for example, label, (_, no_answer) in rows if list(label) != [no_answer, no_answer]}
    lost = sum(bool(example.spans) and i not in held for i, example in enumerate(examples))
    if lost:
        logger.warning(
            "%d of %d answers are in no window of their context as a whole, so nothing is learned of them. Raise "
            "--context_overlap or --max_seq_length.",
            lost,
            len(examples),
        )
