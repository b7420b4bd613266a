"""Runs where peftsearch is not installed, but a tool that trains: take its export as its users do.

Usage: python train_exports.py TOOL FOLDER; the folder is what `in_fresh_environments.py` made. TRL and LLaMA-Factory
train to the end. Of Axolotl, which needs a GPU, the classes of its settings, its LoRA and its tokens are checked.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

Shapes = dict[str, list[list[int]]]


def shapes_of(tensors: Iterator[tuple[str, tuple[int, ...]]]) -> Shapes:
    """Layer -> the sorted shapes of its trained tensors."""
    found: Shapes = {}
    for name, shape in tensors:
        path = name.removeprefix("base_model.model.").split(".lora_")[0].split(".modules_to_save")[0]
        found.setdefault(path.removesuffix(".weight"), []).append(list(shape))
    return {path: sorted(shapes) for path, shapes in found.items()}


def saved_shapes(folder: Path) -> Shapes:
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        return shapes_of((name, tuple(file.get_slice(name).get_shape())) for name in list(file.keys()))


def run(command: list[str], folder: Path) -> None:
    clean = os.environ | {"CUDA_VISIBLE_DEVICES": "", "DISABLE_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def train_with_trl(folder: Path) -> Shapes:
    run([sys.executable, "-W", "ignore", "train.py"], folder)
    return saved_shapes(folder / "output")


def train_with_llamafactory(folder: Path) -> Shapes:
    run([str(Path(sys.executable).with_name("llamafactory-cli")), "train", "train.yaml"], folder)
    return saved_shapes(folder / "output")


def check_with_axolotl(folder: Path) -> Shapes:
    import yaml
    from axolotl.loaders.adapter import _build_peft_lora_config
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    given = yaml.safe_load((folder / "axolotl.yaml").read_text())
    unknown = given.keys() - AxolotlInputConfig.model_fields.keys()
    assert not unknown, f"axolotl does not know {unknown}"
    cfg = DictDefault(AxolotlInputConfig(**given).model_dump(exclude_none=True))
    check_tokens(cfg)
    model = AutoModelForCausalLM.from_pretrained(cfg.base_model)
    attached = get_peft_model(model, _build_peft_lora_config(model, cfg))
    return shapes_of((name, tuple(p.shape)) for name, p in attached.named_parameters() if p.requires_grad)


def check_tokens(cfg) -> None:
    """What axolotl makes of the first row: the answer counts, with its end token, and of a text everything."""
    from axolotl.prompt_strategies import load
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(cfg.base_model)
    data = cfg.datasets[0]
    row = json.loads(Path(data.path).read_text().splitlines()[0])
    if isinstance(data.type, str):
        strategy = load(data.type, tokenizer, cfg, data)
    else:
        strategy = load("user_defined", tokenizer, cfg, data.type.to_dict())
    tokens = strategy.tokenize_prompt({name: [cell] for name, cell in row.items()} if data.field else row)
    labels = tokens["labels"][0] if data.field else tokens["labels"]
    counted = tokenizer.decode([label for label in labels if label >= 0])
    answer = row.get("completion") or row.get("text") or row["messages"][-1]["content"]
    assert counted.rstrip() in (answer + tokenizer.eos_token, answer + 2 * tokenizer.eos_token), repr(counted)


CHECKS = {"trl": train_with_trl, "llamafactory": train_with_llamafactory, "axolotl": check_with_axolotl}


def main() -> None:
    assert importlib.util.find_spec("peftsearch") is None, "peftsearch is installed here"
    tool, root = sys.argv[1], Path(sys.argv[2])
    print(f"{tool} {version(tool)}, transformers {version('transformers')}, peft {version('peft')}")
    for path in sorted(root.glob(f"*/{tool}/case.json")):
        expected = json.loads(path.read_text())
        found = CHECKS[tool](path.parent)
        assert found == expected, f"{path.parent}: {tool} trains {found}, peftsearch {expected}"
        print(f"{path.parent.parent.name:28} {tool:12} {len(found)} layers with the same parameters")


if __name__ == "__main__":
    main()
