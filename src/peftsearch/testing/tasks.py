"""The contract of tasks: complete splits and metrics, and examples that models can read and answer, of both sorts.

Tags, several labels, spans, next tokens and pictures are not for encoder-decoder models, and texts to write for these
alone; all are refused elsewhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from peftsearch.errors import DataError
from peftsearch.report.document import read_as
from peftsearch.task_head import Medium
from peftsearch.tasks.encoded import IGNORED_LABEL, EncodedDataset
from peftsearch.tasks.error_report import ErrorReport
from peftsearch.tasks.format_entry import format_of
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.span_choice import WindowSpans
from peftsearch.tasks.task import NEXT_TOKENS, Example, Goal, Task
from peftsearch.tasks.token_scores import TokenScore
from peftsearch.testing.tiny_models import CHAT_TEMPLATE, tiny_image_processor, tiny_tokenizer

# Characters of a text that is no name of a label.
_LONG = 30
# STS-B's strings are rounded to 0.1.
_TOLERANCE = {False: 1e-9, True: 0.5}
# Goals of one sort of model -> whether it is the one that writes texts that refuses them.
_REFUSED = {Goal.TAGS: True, Goal.LABELS: True, Goal.SPANS: True, Goal.TEXT: False} | dict.fromkeys(NEXT_TOKENS, True)


class TaskTests:
    """The contract of a task.

    Derive from it and override the fixture `task`.

    Example:
        class TestSpam(TaskTests):
            @pytest.fixture
            def task(self):
                return load_task(TaskRequest(task="mail/spam", data_dir="data"))
    """

    @pytest.fixture
    def task(self) -> Task:
        """The task, loaded."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `task` that returns the task.")

    @pytest.mark.parametrize("is_text", [False, True])
    def test_gold_predictions_score_100(self, task, is_text):
        tokenizer, length = _processor(task), task.max_length
        if _is_refused(task, is_text=is_text):
            with pytest.raises(DataError, match="encoder-decoder"):
                make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=is_text, max_length=length)
            return
        task_format = make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=is_text, max_length=length)
        examples = _mixed(task.splits["test"])
        encoded = task_format.encode(examples)
        batch = task_format.collate([encoded[i] for i in range(len(encoded))])
        first, *others = task_format.inputs(batch).values()
        assert all(tensor.shape == first.shape for tensor in others)
        assert len(first) == len(batch["labels"]) == len(encoded) == len(encoded.lengths)
        labels: list[Any] = [row["labels"] for row in encoded]
        gold = _read_back(labels, task.goal, tokenizer) if is_text else _gold(_rows(encoded), task.goal)
        tolerance = _TOLERANCE[is_text and task.goal is Goal.REGRESSION]
        scores = task_format.score(gold, examples)
        if any(METRICS[name].needs_texts for name in task.metrics):
            scores |= task_format.score_texts(task_format.wanted_texts(examples), examples)
        assert scores == {name: pytest.approx(METRICS[name].perfect, abs=tolerance) for name in task.metrics}

    def test_errors_are_kept_in_json_and_what_is_published_quotes_nothing(self, task):
        tokenizer, is_text, length = _processor(task), task.goal is Goal.TEXT, task.max_length
        task_format = make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=is_text, max_length=length)
        examples = _mixed(task.splits["test"])
        rows = _rows(task_format.encode(examples))
        labels: list[Any] = [row["labels"] for row in rows]
        gold = _read_back(labels, task.goal, tokenizer) if is_text else _gold(rows, task.goal)
        for predictions in (gold, _mistaken(gold, task.goal)):
            errors = task_format.describe_errors(predictions, examples)
            assert read_as(ErrorReport, json.loads(json.dumps(asdict(errors)))) == errors
            published = repr(errors.without_data())
            texts = [text for example in examples for _, text in example.fields if len(text) > _LONG]
            assert not any(text[:_LONG] in published for text in texts)

    def test_records_and_metrics_are_complete(self, task):
        record = task.split_record()
        assert set(record["sizes"]) == set(record["sha256"]) == {"train", "validation", "test"}
        assert min(record["sizes"].values()) > 0
        assert {task.selection_metric, task.reported_metric} <= set(task.metrics) <= set(METRICS)

    def test_splits_share_no_row(self, task):
        # The data itself repeats rows, so rows are told apart by where they stand.
        positions = [id(example) for split in task.splits.values() for example in split]
        assert len(set(positions)) == len(positions)


def _processor(task: Task) -> Any:
    """What reads the inputs of a task: a tokenizer with a chat template, or an image processor."""
    if format_of(task).medium is Medium.PICTURES:
        return tiny_image_processor()
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _is_refused(task: Task, *, is_text: bool) -> bool:
    """Whether a sort of model is refused: that which writes texts, or that with a head."""
    is_of_pictures = format_of(task).medium is Medium.PICTURES
    return _REFUSED.get(task.goal, True if is_of_pictures else None) is is_text


def _mixed(examples: Sequence[Example]) -> list[Example]:
    """A few examples, with at least two different targets where there are any."""
    others = [example for example in examples if example.target != examples[0].target]
    return [*examples[:6], *others[:1]]


def _mistaken(gold: list[Any], goal: Goal) -> list[Any]:
    """Predictions of which some are wrong: those of other rows, or other tags."""
    return [[1 - min(tag, 1) for tag in row] for row in gold] if goal is Goal.TAGS else [*gold[1:], gold[0]]


def _rows(encoded: EncodedDataset) -> list[dict[str, Any]]:
    return [encoded[i] for i in range(len(encoded))]


def _gold(rows: Sequence[Mapping[str, Any]], goal: Goal) -> list[Any]:
    """Right predictions of a model with a head."""
    if goal is Goal.SPANS:
        return [_right_span(row) for row in rows]
    return _numbers([row["labels"] for row in rows], goal)


def _right_span(row: Mapping[str, Any]) -> WindowSpans:
    (first, last), (window, no_answer) = row["labels"], row["place"]
    if first == last == no_answer:
        return WindowSpans(window, (), (), 1.0)
    return WindowSpans(window, ((row["char_starts"][first], row["char_ends"][last]),), (1.0,), 0.0)


def _numbers(labels: list[Any], goal: Goal) -> list[Any]:
    if goal is Goal.TAGS:
        return [[tag for tag in row if tag != IGNORED_LABEL] for row in labels]
    if goal is Goal.LABELS:
        return [[float(flag) for flag in row] for row in labels]
    if goal in NEXT_TOKENS:
        counts = [sum(label != IGNORED_LABEL for label in row) for row in labels]
        return [TokenScore(0.0, count, count) for count in counts]
    if goal is Goal.CLASSIFICATION:
        return [_certain(int(label), int(max(labels)) + 1) for label in labels]
    return [float(label) for label in labels]


def _certain(index: int, num_classes: int) -> list[float]:
    """Probabilities of every class, of which one is certain."""
    return [float(i == index) for i in range(num_classes)]


def _texts_of(labels: Sequence[Sequence[int]], tokenizer: Any) -> list[str]:
    return [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in labels]


def _read_back(labels: list[list[int]], goal: Goal, tokenizer: Any) -> list[Any]:
    """Right predictions of a text-to-text model, read back from what it learns."""
    texts = _texts_of(labels, tokenizer)
    if goal is Goal.TEXT:
        return [TokenScore(0.0, len(ids), len(ids)) for ids in labels]
    return list(texts) if goal is Goal.ANSWER else _numbers(list(map(float, texts)), goal)
