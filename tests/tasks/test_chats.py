"""Chats by a template: what is refused, and with which row; the rows themselves are compared in test_like_trl."""

import json
from pathlib import Path

import pytest

from peftsearch.errors import DataError, ModelError
from peftsearch.tasks.chat_template import ChatTemplate
from peftsearch.tasks.format_entry import LossTokens, WrittenTexts
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.tasks.messages import read_messages
from peftsearch.tasks.task import Example, Goal, Task
from peftsearch.testing.tiny_models import CHAT_TEMPLATE, tiny_tokenizer

WHERE = "row 3 of train.jsonl"
ASKED, ANSWERED = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
NO_SYSTEM = "{% for m in messages if m.role != 'system' %}{{ m.content }}\n{% endfor %}"
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAIN
ESCAPED = "{% for m in messages %}{{ m | tojson }}\n{% endfor %}"


def chats(template=CHAT_TEMPLATE, **loss):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    task = Task("talk", Goal.CHATS, (), "loss", "loss", {}, "", 512)
    written = WrittenTexts(loss_tokens=LossTokens(**loss))
    return make_task_format(
        task,
        tokenizer=tokenizer,
        is_encoder_decoder=False,
        max_length=512,
        written=written,
    )


def example(*messages, **fields):
    also = tuple((f"{name}:", value) for name, value in fields.items())
    return Example((("messages:", json.dumps(messages)), *also), (), where=WHERE)


@pytest.mark.parametrize(
    "cell,message",
    [
        (None, "The chat in column 'c' is null in row 3"),
        ("user: hi", "must be a list of messages.*--task_format instructions"),
        ([], "has no message in row 3"),
        (["hi"], "Message 1 in column 'c' of row 3.* is 'hi', but must be an object"),
        (
            [ASKED, {"role": "gpt", "content": "ho"}],
            "Message 2 .* has the role 'gpt'. Known: system, .*gpt and bot are",
        ),
        ([{"content": "ho"}], "has the role None"),
        ([{"role": "user"}], "has the content None, but it must be a text"),
        ([{"role": "user", "content": [{"type": "image"}]}], "has the content .*image"),
        ([ASKED, {"role": "assistant", "content": "  "}], "Message 2 .* is an answer without text"),
        ([ASKED, {"role": "assistant", "content": None}], "has the content None"),
        ([ASKED, {"role": "assistant", "tool_calls": "f()"}], "has the tool_calls 'f\\(\\)', but they must be a list"),
    ],
)
def test_cells_that_are_no_chat_are_refused(cell, message):
    with pytest.raises(DataError, match=message):
        read_messages({"c": cell}, "c", where=WHERE)


def test_from_and_value_are_role_and_content_and_calls_need_no_text():
    cell = [{"from": "user", "value": "hi", "weight": None}, {"role": "assistant", "tool_calls": [{"a": 1}]}]
    assert read_messages({"c": cell}, "c", where=WHERE) == [ASKED, {"role": "assistant", "tool_calls": [{"a": 1}]}]


def test_a_tokenizer_without_a_template_is_refused():
    with pytest.raises(ModelError, match="rows of talk are chats, but the model's tokenizer has no chat template"):
        chats(None)


def test_a_template_that_does_not_mark_the_assistant_is_refused():
    with pytest.raises(DataError, match="does not mark what the assistant says .*generation"):
        chats(PLAIN, assistant_only=True)


def test_a_chat_that_the_template_refuses_is_named():
    found = chats(STRICT)
    with pytest.raises(
        DataError, match="refuses row 3 of train.jsonl: System role not supported. Its roles .*system, us"
    ):
        found.encode([example({"role": "system", "content": "s"}, ASKED, ANSWERED)])


def test_a_message_that_the_template_leaves_out_is_named():
    with pytest.raises(DataError, match="leaves out message 1, of the role 'system', in row 3 of train.jsonl"):
        chats(NO_SYSTEM).encode([example({"role": "system", "content": "secret"}, ASKED, ANSWERED)])


def test_a_message_is_missed_although_a_line_of_it_stands_elsewhere():
    system = {"role": "system", "content": "Answer:\nbriefly"}
    with pytest.raises(DataError, match="leaves out message 1, of the role 'system'"):
        chats(NO_SYSTEM).encode([example(system, {"role": "user", "content": "Answer:\nbriefly, hi"}, ANSWERED)])


CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "hi", "arguments": {}}}]}


def test_calls_and_tools_that_the_template_leaves_out_are_named():
    # The name of the call, "hi", stands in the question.
    with pytest.raises(DataError, match="leaves out a call of a tool in message 2 in row 3 of train.jsonl"):
        chats(PLAIN).encode([example(ASKED, CALL)])
    with pytest.raises(DataError, match="leaves out the tools of the column 'tools' in row 3 of train.jsonl"):
        chats(PLAIN).encode([example(ASKED, ANSWERED, tools=json.dumps([{"name": "hi"}]))])
    assert len(chats(PLAIN).encode([example(ASKED, ANSWERED, tools="[]")])) == 1


def test_calls_are_written_by_a_template_that_has_them():
    found = chats().encode([example(ASKED, CALL)])
    assert chats().tokenizer.decode(found[0]["input_ids"]).endswith('[{"name": "hi", "arguments": {}}]</s>')


def test_a_template_that_reads_texts_is_asked_with_those_of_the_row():
    picky = (
        "{% for m in messages %}{{ raise_exception('?') if m.content not in ['hi', 'ho'] }}{{ m.content }}{% endfor %}"
    )
    assert len(chats(picky).encode([example(ASKED, ANSWERED)])) == 1


WEATHER = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": {}}}
CALLED = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALLED]}
TEXTS, CALLS = [ASKED, ANSWERED], [ASKED, CALLING, ANSWERED]


@pytest.mark.parametrize(
    "name,end,turns,tools,left_out",
    [
        ("llama3", "<|eot_id|>", TEXTS, [WEATHER], "the tools of the column 'tools'"),
        ("llama3", "<|eot_id|>", CALLS, [], "a call of a tool in message 2"),
        ("llama3_1", "<|eot_id|>", CALLS, [WEATHER], ""),
        ("qwen2_5", "<|im_end|>", CALLS, [WEATHER], ""),
        ("qwen3", "<|im_end|>", CALLS, [WEATHER], ""),
        ("gptoss", "<|return|>", CALLS, [WEATHER], ""),
        ("phi3", "<|end|>", CALLS, [], "a call of a tool in message 2"),
        ("gemma3", "<end_of_turn>", TEXTS, [WEATHER], "the tools of the column 'tools'"),
        ("smolvlm", None, TEXTS, [], "message 1, of the role 'user',"),
    ],
)
def test_real_templates_write_calls_and_tools_or_are_told_to_leave_them_out(name, end, turns, tools, left_out):
    """Those that TRL knows; a call has no text beside it, as in most data."""
    trl = pytest.importorskip("trl")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<|eot_id|>", "<|im_start|>", "<|im_end|>", "<|return|>", "<|end|>", "<end_of_turn>"])
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()
    template = ChatTemplate(tokenizer)
    assert template.end_of_answer() == (end and tokenizer.convert_tokens_to_ids(end))
    row = example(*turns, tools=json.dumps(tools))
    if not left_out:
        template.check_is_whole(turns, row)
        return
    with pytest.raises(DataError, match=f"leaves out {left_out} in row 3"):
        template.check_is_whole(turns, row)


@pytest.mark.parametrize(
    "template,end",
    [
        (CHAT_TEMPLATE, "</s>"),
        ("{% for m in messages %}{{ m.role }} {{ m.content }}\n<turn>\n{% endfor %}", "<turn>"),
        (PLAIN, None),
        (STRICT.replace("system", "user"), None),
    ],
)
def test_an_answer_ends_with_the_token_that_the_template_writes_after_it(template, end):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<turn>"])
    tokenizer.chat_template = template
    assert ChatTemplate(tokenizer).end_of_answer() == (end and tokenizer.convert_tokens_to_ids(end))


def test_a_template_may_write_texts_in_another_way():
    assert len(chats(ESCAPED).encode([example(ASKED, {"role": "assistant", "content": 'a "word"'})])) == 1


def test_a_row_without_marked_tokens_is_named():
    with pytest.raises(DataError, match="marks nothing in row 3 of train.jsonl as the assistant's"):
        chats(assistant_only=True).encode([example(ASKED)])


def test_tools_are_handed_to_the_template():
    found = chats().encode([example(ASKED, ANSWERED, tools=json.dumps([{"name": "look_up"}]))])
    assert chats().tokenizer.decode(found[0]["input_ids"]).startswith('[[{"name": "look_up"}]]')


def test_the_question_is_asked_without_its_answer():
    found = chats().answering()
    with_answer = found.encode([example(ASKED, ANSWERED)])
    assert found.tokenizer.decode(with_answer[0]["input_ids"]) == "<s>user\nhi</s>\n<s>assistant\n"
    assert with_answer[0]["input_ids"] == found.encode([example(ASKED)])[0]["input_ids"]
    with pytest.raises(DataError, match="Row 3 of train.jsonl has turns of the assistant alone"):
        found.encode([example(ANSWERED)])
