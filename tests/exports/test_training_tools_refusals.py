"""What tools that train cannot hold is refused in words, with what holds it."""

import pytest
import yaml
from export_cases import tiny_source
from trained_models import language_source, recorded, source_of, uniform_source, with_data

from peftsearch.errors import ExportError
from peftsearch.exports.recorded_training import Rows
from peftsearch.exports.writing import write_export
from peftsearch.space import Choice, Configuration
from peftsearch.tasks.text_files import TextReading

TOOLS = ["trl", "axolotl", "llamafactory"]


@pytest.mark.parametrize("tool", TOOLS)
def test_an_adapter_of_another_task_is_refused(tool, tmp_path):
    with pytest.raises(ExportError, match="its task is SEQ_CLS.*For other tasks there are lora, servable"):
        write_export(tiny_source("llama", "lora"), tool, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("tool", TOOLS)
def test_an_adapter_without_its_run_is_refused(tool, llama, tmp_path):
    with pytest.raises(ExportError, match="Give the folder of its run"):
        write_export(uniform_source(llama, 2, None), tool, tmp_path / "out")


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_no_lora_is_refused(tool, llama, tmp_path):
    source = language_source(llama, ("lora", "serial_adapter"), recorded(Rows.TEXT, tmp_path / "a.jsonl"))
    with pytest.raises(ExportError, match="serial_adapter .a non-linear bottleneck"):
        write_export(source, tool, tmp_path / "out")


@pytest.mark.parametrize("tool,words", [("trl", "at every LoRA or at none"), ("axolotl", "no single biases")])
def test_a_single_bias_is_refused(tool, words, gpt2, tmp_path):
    chosen = [("decoder.0.attention_output", "lora", 2), ("decoder.1.attention_output", "bitfit", 1)]
    chosen = Configuration.of(Choice(*each) for each in chosen)
    with pytest.raises(ExportError, match=f"{words}.*bitfit at .*transformer.h.1.*--space lora"):
        write_export(source_of(gpt2, chosen, recorded(Rows.TEXT, tmp_path / "a.jsonl")), tool, tmp_path / "out")


@pytest.mark.parametrize("tool,name", [("trl", "TRL"), ("axolotl", "Axolotl"), ("llamafactory", "LLaMA-Factory")])
def test_half_of_a_norm_is_refused(tool, name, gpt2, tmp_path):
    source = uniform_source(gpt2, 2, recorded(Rows.TEXT, tmp_path / "a.jsonl"), "lnfit")
    with pytest.raises(ExportError, match=f"a norm of which {name} would train both weight and bias"):
        write_export(source, tool, tmp_path / "out")


def test_llamafactory_is_refused_for_several_ranks(llama, tmp_path):
    source = language_source(llama, ("lora",), recorded(Rows.TEXT, tmp_path / "a.jsonl"))
    with pytest.raises(
        ExportError, match=r"one rank for all layers, and there are 1, 2, 3 .trl and axolotl hold them"
    ):
        write_export(source, "llamafactory", tmp_path / "out")


@pytest.mark.parametrize(
    "tool,rows,words",
    [
        ("axolotl", Rows.CHAT_PAIR, "reads a chat from one column of messages"),
        ("llamafactory", Rows.PAIR, "no template that leaves a prompt as it is"),
        ("llamafactory", Rows.CHAT_PAIR, "both lists of messages .trl holds it"),
    ],
)
def test_rows_that_a_tool_does_not_read_are_refused(tool, rows, words, llama, tmp_path):
    with pytest.raises(ExportError, match=words):
        write_export(uniform_source(llama, 2, recorded(rows, tmp_path / "a.jsonl")), tool, tmp_path / "out")


@pytest.mark.parametrize(
    "tool,changes,words",
    [
        ("axolotl", {"train": "a.tsv"}, r"reads .json, .* and the data is .tsv: convert it to .jsonl"),
        ("llamafactory", {"train": "a.jsonl.gz"}, r"the data is .jsonl.gz"),
        ("axolotl", {"reading": TextReading(encoding="cp1252")}, "in UTF-8 with commas"),
        ("llamafactory", {"leaves_out": True}, "has no drop_missing"),
        ("axolotl", {"along": ("tools", "chat_template_kwargs")}, "no column 'chat_template_kwargs'"),
        ("llamafactory", {"along": ("tools",)}, "no such column as 'tools'"),
    ],
)
def test_data_that_a_tool_does_not_read_is_refused(tool, changes, words, llama, tmp_path):
    training = with_data(recorded(Rows.CHAT, tmp_path / "a.jsonl"), **changes)
    with pytest.raises(ExportError, match=words):
        write_export(uniform_source(llama, 2, training), tool, tmp_path / "out")


@pytest.mark.parametrize("tool", ["axolotl", "llamafactory"])
def test_norms_beside_lora_with_a_rate_for_b_are_refused(tool, llama, tmp_path):
    training = recorded(Rows.TEXT, tmp_path / "a.jsonl", lora_b_rate=4.0)
    with pytest.raises(ExportError, match="lora_b_rate 4 .* norms at the rate of LoRA's B"):
        write_export(uniform_source(llama, 2, training, "lnfit"), tool, tmp_path / "out")
    write_export(uniform_source(llama, 2, training), tool, tmp_path / tool)
    (file,) = (tmp_path / tool).glob("*.yaml")
    assert yaml.safe_load(file.read_text())["loraplus_lr_ratio"] == 4
