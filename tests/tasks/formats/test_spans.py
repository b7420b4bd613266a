"""The user's questions, contexts and answers: read exactly or refused with their row, and split by context."""

import json
import logging
from pathlib import Path

import pandas
import pytest

from peftsearch.errors import DataError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.task import Goal


def row(i: int, **changes) -> dict:
    answers = {"text": [f"Oslo {i}"], "answer_start": [12]}
    return {"question": f"Where {i}?", "context": f"She lives in Oslo {i}.", "answers": answers} | changes


ROWS = [row(i, answers={"text": [f"Oslo {i}"], "answer_start": [13]}) for i in range(12)]
NO_ANSWER = {"text": [], "answer_start": []}


def write(path: Path, rows: list[dict]) -> str:
    if path.suffix == ".parquet":
        pandas.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".csv":
        pandas.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


def load(*paths: str, **settings):
    return load_task(TaskRequest(data=",".join(paths), **settings))


def flat(one: dict) -> dict:
    answers = one["answers"]
    kept = {key: one[key] for key in ("question", "context")}
    return kept | {"answer": answers["text"][0], "answer_start": answers["answer_start"][0]}


@pytest.mark.parametrize("suffix,form", [("jsonl", dict), ("parquet", dict), ("jsonl", flat), ("csv", flat)])
def test_squad_and_two_columns_give_the_same_task(tmp_path, suffix, form, caplog):
    caplog.set_level(logging.INFO)
    paths = [write(tmp_path / f"{name}.{suffix}", list(map(form, ROWS))) for name in ("train", "valid", "test")]
    task = load(*paths)
    assert task.goal is Goal.SPANS and task.metrics == ("span_f1", "span_exact_match")
    first = task.splits["train"][0]
    assert first.fields == (("question:", "Where 0?"), ("context:", "She lives in Oslo 0."))
    assert first.spans == ((13, 19),) and first.fields[1][1][13:19] == "Oslo 0"
    assert (
        f"The task format is spans, since train.{suffix} has the columns 'question', 'context', 'answer" in caplog.text
    )
    assert "12 of 12 validation rows of " in caplog.text and "have the 'context' of a training row" in caplog.text


def test_other_columns_are_named_and_several_answers_kept_once_each(tmp_path):
    answers = {"text": ["in Oslo", "Oslo ", "Oslo", "in Oslo"], "answer_start": [10, 13, 13, 10]}
    rows = [{"q": "Where?", "page": f"She lives in Oslo - {i}.", "gold": answers, "source": i // 2} for i in range(12)]
    task = load(write(tmp_path / "a.jsonl", rows), text="q,page", label="gold", group="source", task_format="spans")
    # Without the spaces around them, the second and third are one.
    assert task.splits["train"][0].spans == ((10, 17), (13, 17))


def test_questions_about_one_context_stay_together(tmp_path):
    rows = [one | {"question": question} for one in ROWS for question in ("Where?", "In which town?")]
    task = load(write(tmp_path / "a.jsonl", rows))
    contexts = [{example.fields[1][1] for example in split} for split in task.splits.values()]
    assert not contexts[0] & contexts[1] and not contexts[1] & contexts[2] and not contexts[0] & contexts[2]
    assert sum(map(len, task.splits.values())) == 24 and "by the groups of 'context'" in task.split_rule


def test_questions_without_an_answer_are_allowed_and_noted(tmp_path):
    assert not load(write(tmp_path / "a.jsonl", ROWS)).span_rules.can_be_unanswered
    task = load(write(tmp_path / "b.jsonl", [*ROWS, *(row(i, answers=NO_ANSWER) for i in range(20, 32))]))
    assert task.span_rules.can_be_unanswered
    assert any(not example.spans for example in task.splits["train"])


@pytest.mark.parametrize(
    "changes,message",
    [
        (
            {"answers": {"text": ["Oslo"], "answer_start": [12]}},
            "answer 'Oslo' does not stand at character 12 of its context in row 3 of a.jsonl: there is ' Osl'. It "
            "stands at 13; are places counted in characters, and from 0",
        ),
        (
            {"answers": {"text": ["Rome"], "answer_start": [13]}},
            "'Rome' does not stand at character 13 of its context in row 3 of a.jsonl: there is 'Oslo'. It stands no",
        ),
        ({"answers": {"text": ["Oslo 2"], "answer_start": [99]}}, "does not stand at character 99 .*: there is ''"),
        ({"answers": {"text": [" "], "answer_start": [3]}}, "An answer is ' ' in row 3 of a.jsonl, but answers are"),
        (
            {"answers": {"text": ["Oslo"], "answer_start": [-1]}},
            "place of the answer 'Oslo' is -1 in row 3 of a.jsonl",
        ),
        ({"answers": {"text": ["Oslo"], "answer_start": [None]}}, "place of the answer 'Oslo' is None in row 3"),
        ({"answers": {"text": ["Oslo"], "answer_start": []}}, "must be an object with two lists of the same length"),
        (
            {"answers": ["Oslo"]},
            r"answers in column 'answers' are \['Oslo'\] in row 3 of a.jsonl, but must be an object",
        ),
        ({"answers": None}, r"1 of 13 rows of a.jsonl lack a value: row 3 \(answers\)"),
        ({"context": " "}, r"1 of 13 rows of a.jsonl lack a value: row 3 \(context\)"),
        ({"question": None}, r"1 of 13 rows of a.jsonl lack a value: row 3 \(question\)"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.jsonl", [*ROWS[:2], ROWS[2] | changes, *ROWS[2:]]))


@pytest.mark.parametrize(
    "rows,settings,message",
    [
        (ROWS, {"goal": "regression"}, "goal is 'regression', but the task format spans predicts answers"),
        (
            ROWS,
            {"text": "context", "task_format": "spans"},
            "--text names 1 columns, but the task format spans reads two",
        ),
        (
            ROWS,
            {"label": "a,b,c", "task_format": "spans"},
            "--label names 3 columns, but the task format spans reads one",
        ),
        (ROWS, {"max_answer_length": 0}, "max_answer_length is 0 tokens, but must be at least 1"),
        (ROWS, {"context_overlap": -1}, "context_overlap is -1 tokens, but must be at least 0"),
        (ROWS, {"metric": "f1"}, "'f1' is one of classes, but the labels of a are spans"),
        ([row(i, answers=NO_ANSWER) for i in range(20)], {}, "None of the .* training rows of a has an answer"),
        ([ROWS[0]] * 20, {}, "have 1 groups in column 'context'"),
        ([{"question": "a", "context": "b"}] * 20, {"task_format": "spans"}, "has no column 'answers'"),
    ],
)
def test_data_and_settings_that_do_not_fit_are_refused(tmp_path, rows, settings, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path / "a.jsonl", rows), **settings)


def test_squads_own_files_are_read(tmp_path):
    def own(rows: list[dict]) -> list[dict]:
        """The form of the answers in them."""
        pairs = [zip(one["answers"]["text"], one["answers"]["answer_start"], strict=True) for one in rows]
        return [
            one | {"answers": [{"text": t, "answer_start": s} for t, s in pair]}
            for one, pair in zip(rows, pairs, strict=True)
        ]

    rows = own([*ROWS, row(12, answers=NO_ANSWER)])
    paragraphs = [{"context": one["context"], "qas": [{"id": one["question"], **one}]} for one in rows]
    (tmp_path / "own.json").write_text(
        json.dumps({"version": "2", "data": [{"title": "a", "paragraphs": paragraphs}]})
    )
    found, flat_lists = load(str(tmp_path / "own.json")), load(write(tmp_path / "rows.jsonl", rows))
    assert found.goal is flat_lists.goal is Goal.SPANS
    assert found.splits == flat_lists.splits
    assert sum(not example.spans for part in found.splits.values() for example in part) == 1
    (tmp_path / "bad.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "a"}]}]}))
    with pytest.raises(DataError, match="paragraph 1 of article 1 must be an object with .* 'qas'"):
        load(str(tmp_path / "bad.json"))


def test_two_empty_cells_are_no_answer_and_one_is_a_mistake(tmp_path):
    rows = [flat(one) for one in ROWS]
    empty = {key: rows[0][key] for key in ("question", "context")} | {
        "question": "Why?",
        "answer": None,
        "answer_start": None,
    }
    found = load(write(tmp_path / "rows.csv", [*rows, empty]))
    assert sum(not example.spans for part in found.splits.values() for example in part) == 1
    with pytest.raises(DataError, match="The answer in column 'answer' is null in row 13"):
        load(write(tmp_path / "half.csv", [*rows, empty | {"answer_start": 3}]))
