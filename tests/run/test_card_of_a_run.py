"""The card that a real run leaves: its code runs, and it stays what it is."""

import re

from huggingface_hub import ModelCard
from peft import PeftModel

from peftsearch import search, train
from peftsearch.modules.attach import count_peft_parameters


def test_the_code_of_the_card_loads_the_adapter(settings, tmp_path):
    result = search(**settings(baseline=False))
    card = ModelCard.load(result.folder / "adapter" / "README.md")
    code = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)[0]
    model = settings()["model"]
    code = code.replace(f"path/to/{model.rpartition('/')[2]}", model)
    names: dict = {}
    exec(code.replace("path/to/this/folder", str(result.folder / "adapter")), names)
    assert count_peft_parameters(names["model"]) == result.metrics["parameters"]
    assert str(tmp_path) not in card.content and model not in card.content

    before = (result.folder / "adapter" / "README.md").read_bytes()
    assert isinstance(result.model, PeftModel)
    result.model.save_pretrained(str(result.folder / "adapter"))
    assert (result.folder / "adapter" / "README.md").read_bytes() == before


def test_the_same_seed_gives_the_same_card(settings, tmp_path):
    runs = [
        train(**settings(configuration="bitfit", method={}, budget="", output=str(tmp_path / name))) for name in "ab"
    ]
    first, second = ((run.folder / "adapter" / "README.md").read_bytes() for run in runs)
    assert first == second


def test_the_command_of_the_card_is_the_run_again(settings):
    chosen = settings(configuration="lora", method={"rank": 2}, budget="", seeds=2, baseline=False)
    command = train(**chosen).metrics["command"]
    assert command.startswith("peftsearch train --model path/to/") and "--output" not in command
    for flag in ("--configuration lora", "--method.rank 2", "--seeds 2", "--baseline false", "--text review"):
        assert flag in command
