"""The contract of tasks: complete splits and metrics, and examples that models can read and answer, of both sorts.

Tags and pictures are not for models that write texts, and are refused there.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from peftsearch.errors import DataError
from peftsearch.task_head import Medium
from peftsearch.tasks.encoded import IGNORED_LABEL
from peftsearch.tasks.format_entry import format_of
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.tasks.task_format import make_task_format
from peftsearch.testing.tiny_models import tiny_image_processor, tiny_tokenizer

# STS-B's strings are rounded to 0.1.
_TOLERANCE = {False: 1e-9, True: 0.5}


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
        is_of_pictures = format_of(task).medium is Medium.PICTURES
        tokenizer, length = tiny_image_processor() if is_of_pictures else tiny_tokenizer(), task.max_length
        if is_text and (task.goal is Goal.TAGS or is_of_pictures):
            with pytest.raises(DataError, match="encoder-decoder"):
                make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=is_text, max_length=length)
            return
        task_format = make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=is_text, max_length=length)
        examples = _mixed(task.splits["test"])
        encoded = task_format.encode(examples)
        batch = task_format.collate([encoded[i] for i in range(len(encoded))])
        first, *others = (tensor for name, tensor in batch.items() if name != "labels")
        assert all(tensor.shape == first.shape for tensor in others)
        assert len(first) == len(batch["labels"]) == len(encoded) == len(encoded.lengths)
        labels: list[Any] = [row["labels"] for row in encoded]
        gold = _read_back(labels, task.goal, tokenizer) if is_text else _numbers(labels, task.goal)
        tolerance = _TOLERANCE[is_text and task.goal is Goal.REGRESSION]
        scores = task_format.score(gold, examples)
        assert scores == {name: pytest.approx(METRICS[name].perfect, abs=tolerance) for name in task.metrics}

    def test_records_and_metrics_are_complete(self, task):
        record = task.split_record()
        assert set(record["sizes"]) == set(record["sha256"]) == {"train", "validation", "test"}
        assert min(record["sizes"].values()) > 0
        assert {task.selection_metric, task.reported_metric} <= set(task.metrics) <= set(METRICS)

    def test_splits_share_no_row(self, task):
        # The data itself repeats rows, so rows are told apart by where they stand.
        positions = [id(example) for split in task.splits.values() for example in split]
        assert len(set(positions)) == len(positions)


def _mixed(examples: Sequence[Example]) -> list[Example]:
    """A few examples with at least two different targets."""
    other = next(example for example in examples if example.target != examples[0].target)
    return [*examples[:6], other]


def _numbers(labels: list[Any], goal: Goal) -> list[Any]:
    if goal is Goal.TAGS:
        return [[tag for tag in row if tag != IGNORED_LABEL] for row in labels]
    if goal is Goal.CLASSIFICATION:
        return [_certain(int(label), int(max(labels)) + 1) for label in labels]
    return [float(label) for label in labels]


def _certain(index: int, num_classes: int) -> list[float]:
    """Probabilities of every class, of which one is certain."""
    return [float(i == index) for i in range(num_classes)]


def _read_back(labels: list[list[int]], goal: Goal, tokenizer: Any) -> list[Any]:
    """Right predictions of a text-to-text model, read back from what it learns."""
    texts = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in labels]
    return list(texts) if goal is Goal.ANSWER else _numbers(list(map(float, texts)), goal)
