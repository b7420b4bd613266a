"""Tables with a text to write for each text: how they are recognised, read and refused."""

import json
import logging

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.task import Goal
from peftsearch.testing.tiny_models import tiny_tokenizer


def _rows(source="source", target="target", count=20):
    return [{source: f"{i} and 1", target: f"makes {i + 1}"} for i in range(count)]


def _load(tmp_path, rows, **settings):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task(TaskRequest(data=str(path), **settings))


def test_source_and_target_are_recognised_and_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        task = _load(tmp_path, _rows())
    assert "The task format is text_to_text, since a.jsonl has the columns 'source' and 'target'" in caplog.text
    assert (task.goal, task.labels, task.selection_metric) == (Goal.TEXT, (), "loss")
    assert task.metrics == ("loss", "perplexity", "next_token_accuracy", "exact_text", "rouge_l", "chrf")
    assert {name: len(split) for name, split in task.splits.items()} == {"train": 16, "validation": 2, "test": 2}
    found = {(e.fields[0], e.text) for split in task.splits.values() for e in split}
    assert found == {(("source:", f"{i} and 1"), f"makes {i + 1}") for i in range(20)}


def test_prompts_with_completions_are_texts_to_write_for_encoder_decoders_alone(tmp_path):
    rows = _rows("prompt", "completion")
    assert _load(tmp_path, rows, is_encoder_decoder=True).splits["train"][0].fields[0][0] == "prompt:"
    assert _load(tmp_path, rows, is_encoder_decoder=True).goal is Goal.TEXT
    assert _load(tmp_path, rows).goal is Goal.INSTRUCTIONS


def test_a_missing_first_text_does_not_hide_the_format(tmp_path):
    rows = _rows()
    rows[0]["source"] = None
    with pytest.raises(DataError, match=r"1 of 20 rows of a.jsonl lack a value: row 1 \(source\)"):
        _load(tmp_path, rows)


def test_texts_with_a_label_stay_what_they_are(tmp_path):
    rows = [{**row, "text": f"text {i}", "label": "ab"[i % 2]} for i, row in enumerate(_rows())]
    assert _load(tmp_path, rows).goal is Goal.CLASSIFICATION
    assert _load(tmp_path, rows, text="source", label="target").goal is Goal.TEXT
    assert _load(tmp_path, rows, text="source", label="label").goal is Goal.CLASSIFICATION


def test_other_columns_are_named(tmp_path):
    rows = [{"q": f"who {i}?", "about": "all", "said": f"me, {i}"} for i in range(20)]
    task = _load(tmp_path, rows, task_format="text_to_text", text="q,about", label="said")
    assert [label for label, _ in task.splits["train"][0].fields] == ["q:", "about:"]


@pytest.mark.parametrize("empty", ["", "  \n", None])
def test_an_empty_target_is_refused_with_its_row(tmp_path, empty):
    rows = _rows()
    rows[4]["target"] = empty
    with pytest.raises(DataError, match=r"1 of 20 rows of a.jsonl lack a value: row 5 \(target\)"):
        _load(tmp_path, rows)
    task = _load(tmp_path, rows, drop_missing=True)
    assert sum(len(split) for split in task.splits.values()) == 19


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": ["a"]}, "The text in column 'target' is a list in row 3 of a.jsonl"),
        ({"source": {"a": 1}}, "The text in column 'source' is an object in row 3 of a.jsonl"),
    ],
)
def test_what_is_no_text_is_named_with_its_row(tmp_path, change, message):
    rows = _rows()
    rows[2] |= change
    with pytest.raises(DataError, match=message):
        _load(tmp_path, rows)


def test_targets_that_are_all_the_same_teach_nothing(tmp_path):
    rows = [row | {"target": "yes"} for row in _rows()]
    with pytest.raises(DataError, match="All 16 training rows of a have the same text in column 'target'"):
        _load(tmp_path, rows)


def test_a_goal_is_refused(tmp_path):
    with pytest.raises(DataError, match="goal is 'classification', but the task format text_to_text writes texts"):
        _load(tmp_path, _rows(), goal="classification")


def test_a_metric_that_the_targets_do_not_have_is_refused(tmp_path):
    rows = [row | {"target": f"猫{'が' * i}"} for i, row in enumerate(_rows())]
    with pytest.raises(DataError, match="'rouge_l' counts words of the letters a to z and .*but that of row"):
        _load(tmp_path, rows, metric="rouge_l")
    with pytest.raises(DataError, match="'final_number' needs a number in every target, but that of row .* is '猫"):
        _load(tmp_path, rows, metric="loss,final_number")
    with pytest.raises(DataError, match=r"'accuracy' is one of classes, but the labels of a are texts.*rouge_l"):
        _load(tmp_path, rows, metric="accuracy")


def test_a_metric_that_the_targets_do_not_have_is_left_out_and_said(tmp_path, caplog):
    rows = [row | {"target": f"猫{'が' * i}"} for i, row in enumerate(_rows())]
    with caplog.at_level(logging.INFO):
        task = _load(tmp_path, rows)
    assert task.metrics == ("loss", "perplexity", "next_token_accuracy", "exact_text", "chrf")
    assert "rouge_l is left out: it counts words of the letters a to z" in caplog.text


def test_metrics_of_texts_do_not_fit_classes(tmp_path):
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(40)]
    with pytest.raises(DataError, match="'chrf' is one of texts, but the labels of a are classes.*text_to_text"):
        _load(tmp_path, rows, metric="chrf")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"is_encoder_decoder": False}, "such as T5 or BART, but the model is none"),
        ({"is_encoder_decoder": True, "class_weights": (1.0, 2.0)}, "texts have no class weights"),
    ],
)
def test_models_and_weights_that_do_not_fit_are_refused(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        make_task_format(_load(tmp_path, _rows()), tokenizer=tiny_tokenizer(), max_length=64, **settings)
