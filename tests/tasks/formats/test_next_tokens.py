"""Tables of texts, prompts and chats as tasks: which format they are, and rows that do not fit."""

import json

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.task import Goal

ASKED, ANSWERED = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}


@pytest.fixture
def load(tmp_path, caplog):
    caplog.set_level("INFO")

    def of(rows, **request):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(TaskRequest(data=str(path), **request))

    return of


TEXTS = [{"text": f"text {i}"} for i in range(10)]
PAIRS = [{"prompt": f"{i}+1=", "completion": f"{i + 1}"} for i in range(10)]
CHATS = [{"messages": [{**ASKED, "content": f"{i}"}, ANSWERED]} for i in range(10)]
CHAT_PAIRS = [{"prompt": [{**ASKED, "content": f"{i}"}], "completion": [ANSWERED]} for i in range(10)]


@pytest.mark.parametrize(
    "rows,goal,said",
    [
        (TEXTS, Goal.LANGUAGE_MODEL, "language_model, since rows.jsonl has the column 'text' alone"),
        (PAIRS, Goal.INSTRUCTIONS, "instructions, since rows.jsonl has the columns 'prompt' and 'completion'"),
        (CHATS, Goal.CHATS, "chats, since the column 'messages' of rows.jsonl holds lists of messages"),
        (CHAT_PAIRS, Goal.CHATS, "chats, since the column 'prompt' of rows.jsonl holds lists of messages"),
        ([{"conversations": row["messages"]} for row in CHATS], Goal.CHATS, "the column 'conversations' of rows"),
    ],
)
def test_the_format_is_recognised_by_the_columns(load, caplog, rows, goal, said):
    task = load(rows)
    assert task.goal is goal and said in caplog.text
    assert {name: len(found) for name, found in task.splits.items()} == {"train": 8, "validation": 1, "test": 1}
    assert task.metrics == ("loss", "perplexity", "next_token_accuracy") and task.labels == ()
    assert task.split_rule == "one file permuted (seed 0): about 80/10/10 train/validation/test"


def test_texts_with_a_label_are_classes(load):
    assert load([{**row, "label": "ab"[i % 2]} for i, row in enumerate(TEXTS)]).goal is Goal.CLASSIFICATION


def test_texts_beside_a_column_of_another_name_may_have_a_label(load):
    rows = [{**row, "category": "ab"[i % 2]} for i, row in enumerate(TEXTS)]
    with pytest.raises(DataError, match="has no column 'label'. Its columns: text, category"):
        load(rows)
    assert load(rows, task_format="language_model").goal is Goal.LANGUAGE_MODEL
    grouped = [{**row, "page": f"page {i}"} for i, row in enumerate(TEXTS)]
    assert load(grouped, group="page").goal is Goal.LANGUAGE_MODEL


def test_columns_may_have_other_names(load):
    rows = [{"question": row["prompt"], "answer": row["completion"]} for row in PAIRS]
    task = load(rows, task_format="instructions", text="question", label="answer")
    example = task.splits["train"][0]
    assert task.goal is Goal.INSTRUCTIONS and example.fields[0][0] == "question:" and len(example.answers) == 1
    assert example.where.endswith("of rows.jsonl")
    chats = load([{"talk": row["messages"]} for row in CHATS], text="talk")
    assert chats.goal is Goal.CHATS and chats.splits["train"][0].fields[0][0] == "talk:"


def test_instructions_that_are_chats_are_read_as_chats(load):
    assert load(CHATS, task_format="instructions").goal is Goal.CHATS


def test_prompts_with_completions_go_before_whole_chats(load):
    assert load([{**pair, **chat} for pair, chat in zip(PAIRS, CHATS)]).goal is Goal.INSTRUCTIONS
    task = load([{**pair, **chat} for pair, chat in zip(CHAT_PAIRS, CHATS)])
    assert task.goal is Goal.CHATS and task.splits["train"][0].answers
    asked = load([{**pair, **chat} for pair, chat in zip(PAIRS, CHATS)], task_format="instructions")
    assert asked.goal is Goal.INSTRUCTIONS


def test_tools_go_along_with_their_messages(load):
    rows = [{**row, "tools": json.dumps([{"name": "f"}]) if i % 2 else None} for i, row in enumerate(CHATS)]
    fields = {example.fields[1] for example in load(rows).splits["train"]}
    assert fields == {("tools:", '[{"name": "f"}]'), ("tools:", "null")}


@pytest.mark.parametrize(
    "rows,request_,message",
    [
        ([*PAIRS[:2], {"prompt": "x", "completion": " "}], {}, "1 of 3 rows of rows.jsonl lack .*: row 3 .completion"),
        ([*TEXTS[:2], {"text": ""}], {}, "lack a value: row 3 .text"),
        ([*PAIRS[:2], {"prompt": ["x"], "completion": "y"}], {}, "'prompt' is a list in row 3 of rows.jsonl"),
        ([*CHATS[:2], {"messages": "hi"}], {}, "The chat in column 'messages' is 'hi' in row 3 of rows.jsonl"),
        ([*CHATS[:2], {"messages": [ASKED]}], {}, "of row 3 of rows.jsonl has no turn of the role 'assistant'"),
        ([*CHAT_PAIRS[:2], {"prompt": [ASKED], "completion": []}], {}, "lack a value: row 3 .completion"),
        ([*CHAT_PAIRS[:2], {"prompt": [ASKED], "completion": [ASKED]}], {}, "of row 3 of rows.jsonl has no turn of"),
        ([*CHATS[:1], {**CHATS[1], "tools": "{"}], {}, "Column 'tools' is '{' in row 2 of .*, which is no JSON"),
        (PAIRS, {"goal": "regression"}, "goal is 'regression', but the task format instructions predicts"),
        (PAIRS, {"metric": "accuracy"}, "'accuracy' is one of classes, but the labels of rows are next tokens"),
        (TEXTS, {"task_format": "language_model", "label": "x"}, "language_model has no label. Leave --label out"),
        (TEXTS, {"task_format": "chats"}, "has neither a column 'messages' nor .* Its columns: text"),
        (TEXTS, {"task_format": "instructions"}, "rows.jsonl has no column 'prompt'. Its columns: text"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_named(load, rows, request_, message):
    with pytest.raises(DataError, match=message):
        load(rows, **request_)


@pytest.mark.parametrize("rows", [PAIRS, CHATS, CHAT_PAIRS], ids=["pairs", "chats", "chat pairs"])
def test_a_gap_in_the_first_row_does_not_hide_the_format(load, rows):
    gap = dict.fromkeys(rows[0])
    with pytest.raises(DataError, match="1 of 11 rows of rows.jsonl lack a value"):
        load([gap, *rows])
    assert load([gap, *rows], drop_missing=True).goal is load(rows).goal


@pytest.mark.parametrize("last", [[ASKED, ANSWERED, ASKED], [ANSWERED]], ids=["asked", "the assistant alone"])
def test_metrics_of_what_is_written_need_an_answer_in_every_held_out_chat(tmp_path, last):
    for name, rows in {"train": CHATS, "valid": CHATS, "test": [*CHATS, {"messages": last}]}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train, valid, test = (str(tmp_path / f"{name}.jsonl") for name in ("train", "valid", "test"))
    assert load_task(TaskRequest(data=f"{train},{valid},{valid}", metric="exact_text")).metrics[0] == "exact_text"
    with pytest.raises(
        DataError, match=r"'exact_text' needs a question and a written .* that of row 11 of test.jsonl"
    ):
        load_task(TaskRequest(data=f"{train},{valid},{test}", metric="exact_text"))
