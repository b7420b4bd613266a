"""Token ids and labels are those of TRL's SFTTrainer, for each of its formats."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from peftsearch.tasks import TaskRequest, load_task
from peftsearch.tasks.format_entry import LossTokens, WrittenTexts
from peftsearch.tasks.make_task_format import make_task_format
from peftsearch.testing.tiny_models import CHAT_TEMPLATE, TINY_DECODERS, tiny_tokenizer

datasets = pytest.importorskip("datasets")
trl = pytest.importorskip("trl")

CALLS = [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
TOOL = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": {}}}


def said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


TEXTS = [{"text": "one two"}, {"text": "ends</s>"}, {"text": "a longer text that is cut"}]
PAIRS = [
    {"prompt": "2+2=", "completion": "4"},
    {"prompt": "say ", "completion": "yes</s>"},
    {"prompt": "a prompt that fills all", "completion": "cut away"},
    {"prompt": "", "completion": "no prompt"},
]
CHATS = [
    {"messages": [said("user", "hi"), said("assistant", "ho")]},
    {"messages": [said("system", "be kind"), said("user", "q"), said("assistant", "a"), said("user", "q2"),
                  said("assistant", "b")]},
]  # fmt: skip
CHAT_PAIRS = [
    {"prompt": [said("user", "hi")], "completion": [said("assistant", "ho")]},
    {"prompt": [said("system", "s"), said("user", "long question")], "completion": [said("assistant", "yes")]},
]
WITH_TOOLS = [{**row, "tools": tools} for row, tools in zip(CHAT_PAIRS, ([TOOL], []))]
CALLING = [
    {"messages": [said("user", "hot?"), {"role": "assistant", "content": "", "tool_calls": CALLS},
                  {"role": "tool", "name": "weather", "content": "9"}, said("assistant", "no")], "tools": [TOOL]},
    {"messages": [said("user", "cold?"), {"role": "assistant", "content": "", "tool_calls": CALLS}], "tools": [TOOL]},
]  # fmt: skip
TOOLS_AS_JSON = [{**row, "tools": json.dumps([TOOL])} for row in CHATS]


@dataclass(frozen=True)
class Case:
    rows: list[dict[str, Any]]
    max_length: int = 100
    loss: LossTokens = field(default_factory=LossTokens)
    trl: dict[str, Any] = field(default_factory=dict)


WRAPPED = {"packing": True, "packing_strategy": "wrapped"}
CASES = {
    "texts": Case(TEXTS),
    "texts that are cut": Case(TEXTS, 10),
    "texts that are packed": Case(TEXTS, 8, LossTokens(packing=True), WRAPPED),
    "prompts with completions": Case(PAIRS),
    "completions that are cut away": Case(PAIRS, 14),
    "prompts that count": Case(PAIRS, 100, LossTokens(completion_only=False), {"completion_only_loss": False}),
    "chats": Case(CHATS),
    "chats that are cut": Case(CHATS, 20),
    "what the assistant says": Case(CHATS, 100, LossTokens(assistant_only=True), {"assistant_only_loss": True}),
    "chats in two columns": Case(CHAT_PAIRS),
    "chats in two columns that are cut": Case(CHAT_PAIRS, 36),
    "chats with tools": Case(WITH_TOOLS, 300),
    "chats with tools as JSON": Case(TOOLS_AS_JSON, 300),
    "chats that call tools": Case(CALLING, 300),
}  # fmt: skip


def tokenizer():
    found = tiny_tokenizer()
    found.chat_template = CHAT_TEMPLATE
    found.model_max_length = 512
    return found


def of_trl(case: Case, folder: str) -> list[tuple[list[int], list[int]]]:
    config = trl.SFTConfig(
        output_dir=folder,
        max_length=case.max_length,
        report_to="none",
        shuffle_dataset=False,
        use_cpu=True,
        bf16=False,
        **case.trl,
    )
    rows = datasets.Dataset.from_list(case.rows)
    trainer = trl.SFTTrainer(TINY_DECODERS["llama"](), config, train_dataset=rows, processing_class=tokenizer())
    return [(row["input_ids"], row["labels"]) for row in trainer.train_dataset]


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_sft_trainer(name, tmp_path):
    case = CASES[name]
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in case.rows))
    data = ",".join(str(tmp_path / f"{split}.jsonl") for split in ("train", "valid", "test"))
    task = load_task(TaskRequest(data=data))
    written = WrittenTexts(loss_tokens=case.loss)
    task_format = make_task_format(
        task,
        tokenizer=tokenizer(),
        is_encoder_decoder=False,
        max_length=case.max_length,
        written=written,
    )
    ours = task_format.encode_for_training(task.splits["train"])
    theirs = of_trl(case, str(tmp_path / "trl"))
    assert [row["input_ids"] for row in ours] == [ids for ids, _ in theirs]
    # Nothing predicts the first token, whatever its label is.
    assert [row["labels"][1:] for row in ours] == [labels[1:] for _, labels in theirs]
    assert all(row["labels"][0] == -100 for row in ours)
