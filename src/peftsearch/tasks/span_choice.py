"""The answer of a question, chosen among the likeliest spans of all windows of its context."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from peftsearch.errors import DataError
from peftsearch.tasks.answer_cells import Span
from peftsearch.tasks.span_rules import SpanRules
from peftsearch.tasks.task import Example

# Spans of a window that are kept, and those of a question over which probabilities are taken.
BEST = 20


@dataclass(frozen=True)
class WindowSpans:
    """The likeliest spans of a window.

    Args:
        window: number of the window within its context, counted from 0.
        spans: characters of the context, the likeliest first.
        scores: of each span, the sum of the logits of its start and its end.
        no_answer: the same sum at the token that stands for no answer.
    """

    window: int
    spans: tuple[Span, ...]
    scores: tuple[float, ...]
    no_answer: float


@dataclass(frozen=True)
class Answer:
    """The answer of a question.

    Args:
        text: of the context; "" for no answer.
        probability: among the likeliest spans of all windows, no answer included where it is allowed; in [0, 1].
    """

    text: str
    probability: float


def best_spans(start: Tensor, end: Tensor, *, max_length: int) -> list[list[tuple[int, int, float]]]:
    """Find the likeliest spans of each row: all pairs of a start and an end are compared that are near enough.

    Args:
        start: (batch, tokens) logits of a start, -inf where none may be.
        end: the same of an end, which is the last token of a span.
        max_length: tokens of the longest span.

    Returns:
        for each row at most `BEST` spans with their first and last token and the sum of both logits, descending.
    """
    length = min(max_length, start.shape[1])
    # (batch, tokens, length): the ends 0, 1, ... tokens after each start.
    ends = pad(end, (0, length - 1), value=-math.inf).unfold(1, length, 1)
    found = (start[:, :, None] + ends).flatten(1)
    top = found.topk(min(BEST, found.shape[1]), dim=1)
    return [
        [(i // length, i // length + i % length, score) for i, score in zip(*row, strict=True) if score > -math.inf]
        for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]


def group_windows(predictions: Sequence[WindowSpans], examples: Sequence[Example]) -> list[list[WindowSpans]]:
    """The windows of each example.

    Args:
        predictions: of all windows of all examples, in their order.
        examples: of one split.

    Raises:
        DataError: for windows of more or fewer examples.
    """
    grouped: list[list[WindowSpans]] = []
    for one in predictions:
        grouped += [[]] if one.window == 0 else []
        grouped[-1].append(one)
    if len(grouped) != len(examples):
        raise DataError(
            f"Windows of {len(grouped)} contexts for {len(examples)} questions can't be scored. Give one prediction "
            "for each row of the encoded examples, in their order."
        )
    return grouped


def choose_answer(windows: Sequence[WindowSpans], context: str, rules: SpanRules) -> Answer:
    """Choose the likeliest span of all windows; no answer where that is likelier in every window.

    Args:
        windows: of one context.
        context: in whose characters spans are.
        rules: whether there may be no answer.

    Source: `postprocess_qa_predictions` of transformers' example run_qa.py, where windows share their spans too; there
    the spans are those of the 20 likeliest starts and ends, here all of them.
    """
    by_span: dict[Span, float] = {}
    for window in windows:
        for span, score in zip(window.spans, window.scores, strict=True):
            by_span[span] = max(score, by_span.get(span, -math.inf))
    ranked = sorted(by_span.items(), key=lambda pair: -pair[1])[:BEST]
    candidates = [(context[start:end].strip(), score) for (start, end), score in ranked]
    if rules.can_be_unanswered or not candidates:
        # A window that lacks the answer says so, too: only what no window finds has none.
        candidates.append(("", min(window.no_answer for window in windows)))
    shares = torch.tensor([score for _, score in candidates], dtype=torch.float64).softmax(0).tolist()
    best = max(range(len(candidates)), key=lambda i: candidates[i][1])
    return Answer(candidates[best][0], shares[best])


def gold_texts(example: Example) -> tuple[str, ...]:
    """The gold answers of a question; "" alone where its context has none."""
    context = example.fields[1][1]
    return tuple(context[start:end] for start, end in example.spans) or ("",)
