"""Conformance: every built-in task whose data is at hand, in both forms."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.load import TASKS, load_task
from peftsearch.tasks.metrics import METRICS
from peftsearch.tasks.task import Goal, TaskRequest
from peftsearch.tasks.task_format import make_task_format


@pytest.fixture(params=list(TASKS))
def task(request, data_dir):
    folder = data_dir / {"superglue/rte": "superglue_rte"}.get(request.param, request.param.split("/")[-1])
    if request.param != "demo" and not folder.is_dir():
        pytest.skip(f"no data for {request.param}")
    try:
        return load_task(TaskRequest(task=request.param, data_dir=str(data_dir)))
    except DataError as error:
        pytest.skip(str(error)) if request.param == "demo" else pytest.fail(str(error))


def _mixed(examples):
    """A few examples with at least two different targets."""
    other = next(example for example in examples if example.target != examples[0].target)
    return [*examples[:6], other]


def _gold(task, encoded, tokenizer, *, is_text):
    """Right predictions, read back from what the model learns."""
    labels = [row["labels"] for row in encoded]
    if not is_text:
        return [float(label) for label in labels] if task.goal is Goal.ANSWER else labels
    texts = [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in labels]
    number = {Goal.CLASSIFICATION: int, Goal.REGRESSION: float, Goal.ANSWER: str}[task.goal]
    return [number(text) for text in texts]


@pytest.mark.parametrize("is_text", [False, True])
def test_gold_predictions_score_100(task, is_text, encoder_tokenizer, plain_tokenizer):
    tokenizer = plain_tokenizer if is_text else encoder_tokenizer
    task_format = make_task_format(task, tokenizer=tokenizer, is_encoder_decoder=is_text, max_length=task.max_length)
    examples = _mixed(task.splits["test"])
    encoded = task_format.encode(examples)
    batch = task_format.collate([encoded[i] for i in range(len(encoded))])
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert len(batch["labels"]) == len(encoded)
    scores = task_format.score(_gold(task, encoded, tokenizer, is_text=is_text), examples)
    # STS-B's strings are rounded to 0.1.
    tolerance = 0.5 if task.goal is Goal.REGRESSION and is_text else 1e-9
    assert scores == {name: pytest.approx(100.0, abs=tolerance) for name in task.metrics}


def test_records_and_metrics_are_complete(task):
    record = task.split_record()
    assert set(record["sizes"]) == set(record["sha256"]) == {"train", "validation", "test"}
    assert min(record["sizes"].values()) > 0
    assert {task.selection_metric, task.reported_metric} <= set(task.metrics) <= set(METRICS)


def test_splits_share_no_row(task):
    # The data itself repeats rows, so rows are told apart by where they stand.
    positions = [id(example) for split in task.splits.values() for example in split]
    assert len(set(positions)) == len(positions)
