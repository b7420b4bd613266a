"""What the README shows works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from peftsearch.cli.flags import parse_compare, parse_run
from peftsearch.cli.main import main
from peftsearch.models.load import load_model
from peftsearch.run.config import DEFAULT_METHOD

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"^peftsearch (.*)$", README.replace("\\\n", " "), re.MULTILINE)


@pytest.mark.slow
def test_the_python_example_searches_and_its_adapter_loads_in_peft(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in PYTHON:
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "python" / "adapter" / "adapter_model.safetensors").is_file()
    assert "test" in capsys.readouterr().out


def test_the_commands_on_the_readmes_own_run_work_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    on_run = [command for command in COMMANDS if "runs/demo-search" in command]
    short = "--max_train_samples 96 --max_eval_samples 48 --num_train_epochs 1 --max_seq_length 8 --verify false"
    short += " --learning_rate 5e-3"
    assert [command.split()[0] for command in on_run] == ["search", "train", "evaluate", "export", "export"]
    for command in on_run:
        verb, *arguments = shlex.split(command)
        more = {"search": [*short.split(), "--baseline", "false"], "train": ["--dry_run"]}.get(verb, [])
        assert main([verb, *arguments, *more]) == 0, command
    base = load_model("demo", num_labels=3).model
    plain = PeftModel.from_pretrained(base, "plain-lora")
    merged = AutoModelForSequenceClassification.from_pretrained("merged")
    ids = torch.arange(1000, 1020)[None]
    torch.testing.assert_close(plain.eval()(ids).logits, merged.eval()(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[0] in ("search", "train")])
def test_every_flag_of_the_readme_exists(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("model: demo\ntask: demo\n")
    verb, *arguments = shlex.split(command)
    parse_run(verb, arguments)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[0] == "compare"])
def test_every_comparison_of_the_readme_is_understood(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("data: train.csv\ntext: review\nlabel: stars\n")
    parse_compare(shlex.split(command)[1:])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[0] in ("plan", "list", "doctor")])
def test_quick_commands_of_the_readme_run(command, capsys):
    assert main(shlex.split(command)) == 0


def test_the_table_of_methods_names_the_default():
    assert re.findall(r"^\| `(\w+)` \(default\)", README, re.MULTILINE) == [DEFAULT_METHOD]
