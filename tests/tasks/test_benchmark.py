"""GLUE, SuperGLUE and the demo: text forms against the literal strings of the specification."""

import json
import subprocess
import sys

import pytest

from peftsearch.errors import DataError, UnknownNameError
from peftsearch.tasks.benchmark import Benchmark, load_benchmark
from peftsearch.tasks.builtin.demo import near_duplicate_key
from peftsearch.tasks.load import TASKS, load_task
from peftsearch.tasks.task import Goal, TaskRequest
from peftsearch.tasks.text_to_text import source_text, target_texts

_PASSAGE = 'He said "go."\n@highlight\nAnn left\n@highlight\nBob stayed'
_RECORD = {"passage": _PASSAGE, "query": "@placeholder left.", "entities": ["Ann", "Bob"], "answers": ["Ann"]}
_SENTENCES = {"sentence1": "A b.", "sentence2": "C d.", "label": 1}
_PREMISE = {"premise": "A b.", "hypothesis": "C d.", "label": 1}
_MULTIRC = {
    "question": "<b>Who</b>?",
    "answer": "Ann",
    "paragraph": "<b>Sent 1: </b>Hi.<br>Ho.",
    "label": 1,
    "idx": {"paragraph": 3, "question": 8, "answer": 0},
}
_WSC = {
    "text": "Ann met Eve when she came.",
    "span1_text": "Eve",
    "span1_index": 2,
    "span2_text": "she",
    "span2_index": 4,
}
_CASES = {
    "glue/cola": ({"sentence": "A b.", "label": 0}, "cola sentence: A b.", "0"),
    "glue/sst2": ({"sentence": "A b.", "label": 1}, "sst2 sentence: A b.", "1"),
    "glue/mrpc": (_SENTENCES, "mrpc sentence1: A b. sentence2: C d.", "1"),
    "glue/stsb": ({**_SENTENCES, "label": 3.25001}, "stsb sentence1: A b. sentence2: C d.", "3.3"),
    "glue/qqp": ({"question1": "A?", "question2": "B?", "label": 1}, "qqp question1: A? question2: B?", "1"),
    "glue/mnli": ({**_PREMISE, "label": 2}, "mnli premise: A b. hypothesis C d.", "2"),
    "glue/qnli": ({"question": "A?", "sentence": "B.", "label": 0}, "qnli question: A? sentence: B.", "0"),
    "glue/rte": (_SENTENCES, "rte sentence1: A b. sentence2: C d.", "1"),
    "glue/wnli": (_SENTENCES, "wnli sentence1: A b. sentence2: C d.", "1"),
    "superglue/boolq": (
        {"question": "is a", "passage": "B.", "label": 1},
        "superglue-boolq question: is a passage: B.",
        "1",
    ),
    "superglue/cb": ({**_PREMISE, "label": 2}, "superglue-cb premise: A b. hypothesis: C d.", "2"),
    "superglue/copa": (
        {"premise": "A.", "choice1": "B.", "choice2": "C.", "question": "cause", "label": 0},
        "superglue-copa premise: A. choice1: B. choice2: C.",
        "0",
    ),
    "superglue/multirc": (
        _MULTIRC,
        "superglue-multirc question: Who? answer: Ann paragraph: Sent 1: Hi. Ho.",
        "1",
    ),
    "superglue/record": (
        _RECORD,
        'record query: @placeholder left. entities: Ann, Bob passage: He said "go." Ann left. Bob stayed',
        "Ann",
    ),
    "superglue/rte": (_PREMISE, "superglue-rte premise: A b. hypothesis: C d.", "1"),
    "superglue/wic": (
        {**_SENTENCES, "word": "d"},
        "superglue-wic sentence1: A b. sentence2: C d. word: d",
        "1",
    ),
    "superglue/wsc": (
        {**_WSC, "label": 0},
        "superglue-wsc.fixed text: Ann met * Eve * when # she # came.",
        "0",
    ),
}


def _write(data_dir, name, rows):
    suite, task = name.split("/")
    folder = data_dir / ("superglue_rte" if name == "superglue/rte" else task)
    folder.mkdir()
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(data_dir)


def _other(row):
    """The same row with another label, since one label alone is refused."""
    return {**row, "answers": ["Bob"]} if "answers" in row else {**row, "label": 1 - min(row["label"], 1)}


def test_the_cases_cover_every_benchmark():
    assert {*_CASES, "demo", "demo-sft"} == set(TASKS)


@pytest.mark.parametrize("name", _CASES)
def test_text_forms_are_those_of_the_specification(tmp_path, name):
    row, source, target = _CASES[name]
    task = load_task(TaskRequest(task=name, data_dir=_write(tmp_path, name, [row, _other(row)] * 12)))
    forms = {(source_text(task, example), target_texts(task, example)) for example in task.splits["train"]}
    assert (source, (target,)) in forms


@pytest.mark.parametrize(
    ("name", "selection", "reported", "max_length"),
    [
        ("glue/cola", "matthews_correlation", "matthews_correlation", 128),
        ("glue/rte", "accuracy", "accuracy", 256),
        ("superglue/cb", "macro_f1", "accuracy", 256),
        ("superglue/record", "exact_match", "token_f1", 512),
    ],
)
def test_metrics_and_lengths_are_those_of_the_specification(tmp_path, name, selection, reported, max_length):
    row = _CASES[name][0]
    task = load_task(TaskRequest(task=name, data_dir=_write(tmp_path, name, [row, _other(row)] * 12)))
    assert (task.selection_metric, task.reported_metric, task.max_length) == (selection, reported, max_length)


def test_multirc_groups_the_answers_to_one_question(tmp_path):
    data_dir = _write(tmp_path, "superglue/multirc", [_MULTIRC, _other(_MULTIRC)] * 2)
    task = load_task(TaskRequest(task="superglue/multirc", data_dir=data_dir))
    assert {example.group for example in task.splits["train"]} == {"3-8"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"span1_text": "eve"}, "Ann met * Eve * when # she # came."),
        ({"span2_text": "came", "span2_index": 5}, "Ann met * Eve * when she # came #."),
        ({"span1_text": "Ann met", "span1_index": 0}, "* Ann met * Eve when # she # came."),
        ({"span1_text": "Zoe"}, "Ann met * Eve * when # she # came."),
    ],
)
def test_wsc_marks_spans_with_their_punctuation_outside(tmp_path, change, text):
    row = {**_WSC, **change, "label": 0}
    data_dir = _write(tmp_path, "superglue/wsc", [row, _other(row)] * 2)
    task = load_task(TaskRequest(task="superglue/wsc", data_dir=data_dir))
    assert task.splits["train"][0].fields == (("text:", text),)


def test_an_unknown_task_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'glue/mrpc'"):
        load_task(TaskRequest(task="glue/mrcp"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"sentence": "a", "label": -1}] * 3, "-1 in column 'label' is not a class in row 1 of"),
        ([{"sentence": "a", "label": "yes"}] * 3, "'yes' in column 'label' is not a class"),
        ([{"sentence": "a", "label": 1}] * 3, "have the label 'acceptable', but at least two"),
        ([{"sentence": None, "label": 1}] * 3, "'sentence' is null in row 1 of"),
        ([{"text": "a", "label": 1}] * 3, "no column 'sentence'. Its columns: text, label"),
        ([{"sentence": "a", "label": 1}, {"sentence": "a", "label": 0}][:1], "1 rows for the train split"),
        ([], "is empty"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        load_task(TaskRequest(task="glue/cola", data_dir=_write(tmp_path, "glue/cola", rows)))


@pytest.mark.parametrize("label", ["high", None, float("inf")])
def test_a_regression_label_that_is_no_number_is_refused(tmp_path, label):
    data_dir = _write(tmp_path, "glue/stsb", [_SENTENCES, {**_SENTENCES, "label": label}])
    with pytest.raises(DataError, match="row 2 of"):
        load_task(TaskRequest(task="glue/stsb", data_dir=data_dir))


def test_missing_data_say_which_file_is_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"There is no file '.*rte/train.jsonl'"):
        load_task(TaskRequest(task="glue/rte", data_dir=str(tmp_path)))
    with pytest.raises(DataError, match="There is no folder"):
        load_task(TaskRequest(task="glue/rte", data_dir=str(tmp_path / "nowhere")))


def test_a_benchmark_without_network_suggests_local_data(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    benchmark = Benchmark("glue", "nothing", "", fields=(("sentence:", "sentence"),))
    with pytest.raises(DataError, match="--data_dir"):
        load_benchmark(benchmark, TaskRequest(task="glue/nothing"))


def test_listing_tasks_needs_no_torch():
    code = "import sys; import peftsearch.tasks.load as l; print(len(l.TASKS), 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(len(TASKS)), "False"]


def test_near_duplicates_share_a_key():
    assert near_duplicate_key("RT @ann: Great  flight! http://t.co/x") == near_duplicate_key("great flight")
    assert near_duplicate_key("Great flight") != near_duplicate_key("Bad flight")


def test_the_demo_is_the_same_for_every_seed_and_has_no_duplicates_across_splits():
    tasks = [load_task(TaskRequest(task="demo", seed=seed)) for seed in (0, 1)]
    assert tasks[0].splits == tasks[1].splits
    assert tasks[0].split_record()["sizes"] == {"train": 1500, "validation": 500, "test": 500}
    keys = [near_duplicate_key(e.fields[0][1]) for split in tasks[0].splits.values() for e in split]
    assert len(set(keys)) == len(keys) and "" not in keys
    assert tasks[0].goal is Goal.CLASSIFICATION
