"""What was found is trained anew in TRL, Axolotl and LLaMA-Factory, or refused in words."""

import ast
import importlib.util
import json
import runpy
from pathlib import Path

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from trained_models import (
    language_source,
    recorded,
    source_of,
    trained_shapes,
    uniform_source,
    with_data,
    write_rows,
)

from peftsearch.errors import ExportError
from peftsearch.exports.recorded_training import Rows
from peftsearch.exports.source import Source
from peftsearch.exports.writing import write_export
from peftsearch.space import Choice, Configuration

TOOLS = ["trl", "axolotl", "llamafactory"]
# A name that would end a string of Python, YAML, JSON or Markdown, and go on as code.
NASTY = "it's \"a\" 'model'\n__import__('os').abort() # {x: [1, \\"


def attached_shapes(model: torch.nn.Module) -> dict[str, list[tuple[int, ...]]]:
    """Layer -> the sorted shapes of what a plain adapter of peft trains there."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            path = name.removeprefix("base_model.model.").split(".lora_")[0].split(".modules_to_save")[0]
            found.setdefault(path, []).append(tuple(parameter.shape))
    return {path: sorted(shapes) for path, shapes in found.items()}


def load_script(path: Path):
    spec = importlib.util.spec_from_file_location("exported_train", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def axolotls_lora(cfg: dict) -> LoraConfig:
    """As axolotl's loaders/adapter.py makes it."""
    return LoraConfig(
        r=cfg["lora_r"],
        lora_alpha=cfg["lora_alpha"],
        target_modules=cfg["lora_target_modules"],
        lora_dropout=cfg["lora_dropout"],
        fan_in_fan_out=cfg.get("lora_fan_in_fan_out"),
        modules_to_save=cfg.get("lora_modules_to_save") or None,
        rank_pattern=cfg.get("lora_rank_pattern") or {},
        alpha_pattern=cfg.get("lora_alpha_pattern") or {},
    )


def llamafactorys_lora(cfg: dict) -> LoraConfig:
    """As LLaMA-Factory's model/adapter.py makes it."""
    return LoraConfig(
        r=cfg["lora_rank"],
        lora_alpha=cfg["lora_alpha"],
        target_modules=cfg["lora_target"].split(","),
        lora_dropout=cfg["lora_dropout"],
        modules_to_save=cfg["additional_target"].split(",") if "additional_target" in cfg else None,
    )


def check_scales(model: torch.nn.Module, count: int) -> None:
    scales = [layer.scaling["default"] for layer in model.modules() if hasattr(layer, "lora_A")]
    assert scales == [1] * count


@pytest.mark.parametrize("kinds", [("lora",), ("lora", "lnfit")])
def test_trl_attaches_the_same_parameters_at_the_same_places(kinds, llama, tmp_path):
    pytest.importorskip("trl")
    source = language_source(llama, kinds, recorded(Rows.TEXT, write_rows(Rows.TEXT, tmp_path / "a.jsonl")))
    write_export(source, "trl", tmp_path / "out")
    attached = get_peft_model(source.load_base(), load_script(tmp_path / "out" / "train.py").LORA)
    assert attached_shapes(attached) == trained_shapes(source)
    check_scales(attached, 7)


def test_trl_holds_a_bias_at_every_lora(gpt2, tmp_path):
    pytest.importorskip("trl")
    chosen = [Choice(f"decoder.{i}.attention_output", kind, 2) for i in (0, 1) for kind in ("lora", "bitfit")]
    chosen = [choice if choice.kind == "lora" else Choice(choice.site, "bitfit") for choice in chosen]
    source = source_of(gpt2, Configuration.of(chosen), recorded(Rows.TEXT, tmp_path / "a.jsonl"))
    write_export(source, "trl", tmp_path / "out")
    lora = load_script(tmp_path / "out" / "train.py").LORA
    assert (lora.lora_bias, lora.fan_in_fan_out) == (True, True)
    assert attached_shapes(get_peft_model(source.load_base(), lora)) == trained_shapes(source)


def test_axolotl_attaches_the_same_parameters_at_the_same_places(llama, tmp_path):
    source = language_source(llama, ("lora", "lnfit"), recorded(Rows.TEXT, tmp_path / "a.jsonl"))
    write_export(source, "axolotl", tmp_path / "out")
    attached = get_peft_model(source.load_base(), axolotls_lora(read_yaml(tmp_path / "out" / "axolotl.yaml")))
    assert attached_shapes(attached) == trained_shapes(source)
    check_scales(attached, 7)


def test_llamafactory_attaches_the_same_parameters_at_the_same_places(llama, tmp_path):
    source = uniform_source(llama, 2, recorded(Rows.TEXT, tmp_path / "a.jsonl"), "lnfit")
    write_export(source, "llamafactory", tmp_path / "out")
    attached = get_peft_model(source.load_base(), llamafactorys_lora(read_yaml(tmp_path / "out" / "train.yaml")))
    assert attached_shapes(attached) == trained_shapes(source)
    check_scales(attached, 6)


@pytest.mark.parametrize("rows", list(Rows))
def test_the_script_trains_on_the_runs_own_data(rows, llama, tmp_path, monkeypatch):
    pytest.importorskip("trl")
    train, validation = (write_rows(rows, tmp_path / f"{name}.jsonl") for name in ("train", "validation"))
    training = recorded(rows, train, validation, assistant_only=rows is Rows.CHAT, early_stopping=1, lora_b_rate=2.0)
    source = language_source(llama, ("lora", "lnfit"), training)
    write_export(source, "trl", tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    runpy.run_path("train.py", run_name="__main__")
    saved = load_file("output/adapter_model.safetensors")
    shapes = trained_shapes(source)
    assert sum(t.numel() for t in saved.values()) == sum(
        torch.Size(s).numel() for each in shapes.values() for s in each
    )
    assert all(tensor.abs().max() > 0 for name, tensor in saved.items() if "lora_B" in name)


@pytest.mark.parametrize("suffix,separator", [(".csv", ","), (".tsv", "\t")])
def test_the_script_reads_cells_as_they_are_written(suffix, separator, llama, tmp_path):
    pytest.importorskip("trl")
    train = tmp_path / f"a{suffix}"
    train.write_text(f"question{separator}id{separator}answer\nNA{separator}7{separator}007\n")
    training = with_data(recorded(Rows.PAIR, train), columns=("question", "answer"))
    write_export(uniform_source(llama, 2, training), "trl", tmp_path / "out")
    script = load_script(tmp_path / "out" / "train.py")
    assert script.read(script.TRAIN).to_list() == [{"prompt": "NA", "completion": "007"}]


def test_the_script_leaves_out_what_the_run_left_out(llama, tmp_path):
    pytest.importorskip("trl")
    train = tmp_path / "a.jsonl"
    train.write_text('{"text": "one"}\n{"text": null}\n{"text": ""}\n')
    write_export(
        uniform_source(llama, 2, with_data(recorded(Rows.TEXT, train), leaves_out=True)), "trl", tmp_path / "out"
    )
    script = load_script(tmp_path / "out" / "train.py")
    assert script.read(script.TRAIN).to_list() == [{"text": "one"}]


def test_the_settings_of_the_run_travel_to_trl(llama, tmp_path):
    settings = {"warmup_steps": 0.1, "gradient_accumulation_steps": 4, "packing": True, "bf16": "auto"}
    training = recorded(Rows.TEXT, tmp_path / "a.jsonl", **settings)
    write_export(uniform_source(llama, 2, training), "trl", tmp_path / "out")
    tree = ast.parse((tmp_path / "out" / "train.py").read_text())
    call = next(n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "SFTConfig")
    found = {each.arg: ast.unparse(each.value) for each in call.keywords}
    assert found["learning_rate"] == "0.003" and found["warmup_steps"] == "0.1" and found["seed"] == "3"
    assert found["per_device_train_batch_size"] == "2" and found["gradient_accumulation_steps"] == "4"
    assert (found["packing"], found["packing_strategy"], found["max_length"]) == ("True", "'wrapped'", "64")
    assert found["bf16"] == "torch.cuda.is_available() and torch.cuda.is_bf16_supported()"
    assert found["gradient_checkpointing"] == "False"  # TRL's own default is True
    assert "eval_strategy" not in found


def test_the_settings_of_the_run_travel_to_axolotl(llama, tmp_path):
    training = recorded(Rows.PAIR, tmp_path / "a.jsonl", tmp_path / "b.jsonl", warmup_steps=20, bf16="auto")
    write_export(
        uniform_source(llama, 2, with_data(training, columns=("question", "answer"))), "axolotl", tmp_path / "out"
    )
    cfg = read_yaml(tmp_path / "out" / "axolotl.yaml")
    assert (cfg["learning_rate"], cfg["num_epochs"], cfg["micro_batch_size"]) == (0.003, 1.0, 2)
    assert (cfg["warmup_steps"], cfg["bf16"], cfg["seed"], cfg["sequence_len"]) == (20, "auto", 3, 64)
    assert "warmup_ratio" not in cfg and cfg["train_on_inputs"] is False
    read_as = {"field_instruction": "question", "field_output": "answer", "field_input": "", "field_system": ""}
    written = {"format": "{instruction}", "no_input_format": "{instruction}"}
    (train,), (test,) = cfg["datasets"], cfg["test_datasets"]
    assert train == {"path": str(tmp_path / "a.jsonl"), "ds_type": "json", "split": "train", "type": read_as | written}
    assert test == train | {"path": str(tmp_path / "b.jsonl")}


@pytest.mark.parametrize("assistant_only", [True, False])
def test_chats_travel_to_axolotl_and_llamafactory(assistant_only, llama, tmp_path):
    training = recorded(Rows.CHAT, tmp_path / "a.jsonl", assistant_only=assistant_only)
    for tool in ("axolotl", "llamafactory"):
        write_export(uniform_source(llama, 2, training), tool, tmp_path / tool)
    cfg = read_yaml(tmp_path / "axolotl" / "axolotl.yaml")
    assert (cfg["datasets"][0]["type"], cfg["datasets"][0]["field_messages"]) == ("chat_template", "messages")
    assert cfg["train_on_inputs"] is not assistant_only
    cfg = read_yaml(tmp_path / "llamafactory" / "train.yaml")
    assert (cfg["stage"], cfg["train_on_prompt"], cfg["cutoff_len"]) == ("sft", not assistant_only, 64)
    rows = json.loads((tmp_path / "llamafactory" / "dataset_info.json").read_text())[cfg["dataset"]]
    assert (rows["file_name"], rows["columns"]) == (str(tmp_path / "a.jsonl"), {"messages": "messages"})
    assert (rows["tags"]["role_tag"], rows["tags"]["assistant_tag"]) == ("role", "assistant")


def test_chats_in_the_form_of_sharegpt_keep_their_keys(llama, tmp_path):
    training = with_data(recorded(Rows.CHAT, tmp_path / "a.jsonl"), columns=("conversations",))
    for tool in ("axolotl", "llamafactory"):
        notes = write_export(uniform_source(llama, 2, training), tool, tmp_path / tool).notes
        assert any("keys from and value" in note for note in notes)
    (rows,) = read_yaml(tmp_path / "axolotl" / "axolotl.yaml")["datasets"]
    assert rows["message_property_mappings"] == {"role": "from", "content": "value"}
    rows = json.loads((tmp_path / "llamafactory" / "dataset_info.json").read_text())["train_rows"]
    assert (rows["tags"]["role_tag"], rows["tags"]["content_tag"]) == ("from", "value")


def test_texts_that_are_packed_travel_to_llamafactory(llama, tmp_path):
    training = recorded(Rows.TEXT, tmp_path / "a.jsonl", tmp_path / "b.jsonl", packing=True)
    write_export(uniform_source(llama, 2, training), "llamafactory", tmp_path / "out")
    cfg = read_yaml(tmp_path / "out" / "train.yaml")
    assert (cfg["stage"], cfg["packing"], cfg["cutoff_len"]) == ("pt", True, 65)  # it takes one off: 64 are left
    assert "train_on_prompt" not in cfg
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info[cfg["eval_dataset"]] == info[cfg["dataset"]] | {"file_name": str(tmp_path / "b.jsonl")}


def test_splits_on_the_hub_travel(llama, tmp_path):
    training = recorded(Rows.TEXT, "me/texts", "validation")
    training = with_data(training, is_on_hub=True, train="me/texts", validation="validation")
    for tool in TOOLS:
        write_export(uniform_source(llama, 2, training), tool, tmp_path / tool)
    script = (tmp_path / "trl" / "train.py").read_text()
    assert "DATA = 'me/texts'" in script and "VALIDATION = 'validation'" in script
    cfg = read_yaml(tmp_path / "axolotl" / "axolotl.yaml")
    assert [cfg["datasets"][0]["split"], cfg["test_datasets"][0]["split"]] == ["train", "validation"]
    assert {each["path"] for each in (*cfg["datasets"], *cfg["test_datasets"])} == {"me/texts"}
    info = json.loads((tmp_path / "llamafactory" / "dataset_info.json").read_text())
    assert info["validation_rows"]["hf_hub_url"] == "me/texts" and info["validation_rows"]["split"] == "validation"
    assert "name" not in cfg["datasets"][0] and "subset" not in info["validation_rows"]


def test_the_configuration_of_a_data_set_on_the_hub_travels(llama, tmp_path):
    training = with_data(recorded(Rows.TEXT, "me/texts"), is_on_hub=True, train="me/texts", configuration="main")
    for tool in TOOLS:
        write_export(uniform_source(llama, 2, training), tool, tmp_path / tool)
    assert "load_dataset(DATA, 'main', split=place)" in (tmp_path / "trl" / "train.py").read_text()
    assert read_yaml(tmp_path / "axolotl" / "axolotl.yaml")["datasets"][0]["name"] == "main"
    info = json.loads((tmp_path / "llamafactory" / "dataset_info.json").read_text())
    assert {each["subset"] for each in info.values()} == {"main"}


def test_what_does_not_travel_is_said(llama, tmp_path):
    training = recorded(Rows.TEXT, tmp_path / "a.jsonl", average_last=0.2, early_stopping=2)
    notes = " ".join(write_export(uniform_source(llama, 2, training), "trl", tmp_path / "out").notes)
    assert "validation and test rows" in notes and "average_last" in notes and "early_stopping" in notes


def test_names_from_outside_never_become_code(llama, tmp_path, monkeypatch):
    training = with_data(recorded(Rows.TEXT, NASTY), train=f"{NASTY}.jsonl", columns=(NASTY,))
    source = uniform_source(llama, 2, training)
    nasty = Source(NASTY, source.model, source.load_base, source.load_tokenizer, lambda: training)
    for tool in TOOLS:
        write_export(nasty, tool, tmp_path / tool)
    tree = ast.parse((tmp_path / "trl" / "train.py").read_text())
    values = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
    assert ast.literal_eval(values["MODEL"]) == NASTY and ast.literal_eval(values["TRAIN"]) == f"{NASTY}.jsonl"
    assert "abort" not in (tmp_path / "trl" / "README.md").read_text()
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert "__import__" not in names
    cfg = read_yaml(tmp_path / "axolotl" / "axolotl.yaml")
    assert cfg["base_model"] == NASTY and cfg["datasets"][0]["field"] == NASTY
    assert read_yaml(tmp_path / "llamafactory" / "train.yaml")["model_name_or_path"] == NASTY
    info = json.loads((tmp_path / "llamafactory" / "dataset_info.json").read_text())
    assert info["train_rows"]["columns"]["prompt"] == NASTY


def test_a_gguf_file_travels_to_trl_alone(llama, tmp_path):
    source = uniform_source(llama, 2, recorded(Rows.TEXT, tmp_path / "a.jsonl"))
    model = tmp_path / "a model.gguf"
    packed = Source(str(model), source.model, source.load_base, source.load_tokenizer, source.load_training)
    write_export(packed, "trl", tmp_path / "out")
    text = (tmp_path / "out" / "train.py").read_text()
    assert f"MODEL = {str(tmp_path)!r}" in text and "from_pretrained(MODEL, gguf_file='a model.gguf')" in text
    for tool in ("axolotl", "llamafactory"):
        with pytest.raises(ExportError, match="trains no .gguf file"):
            write_export(packed, tool, tmp_path / tool)
