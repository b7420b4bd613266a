"""Runs where peftsearch is not installed: load every export as its users do, and compare outputs.

Usage: python load_exports.py FOLDER FORMAT...; the folder is what `in_fresh_environments.py` made.
"""

import importlib.util
import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

LIMIT = 1e-5
transformers.logging.set_verbosity_error()


def auto_class(case: dict) -> type:
    name = "AutoModelForSeq2SeqLM" if case["num_labels"] is None else "AutoModelForSequenceClassification"
    return getattr(transformers, name)


def base(case: dict):
    """The pretrained model with a task head that is drawn at random: the trained one must come with the export."""
    options = {} if case["num_labels"] is None else {"num_labels": case["num_labels"]}
    return auto_class(case).from_pretrained(case["base"], **options)


def load_plain_lora(case: dict, folder: Path):
    from peft import PeftModel

    return PeftModel.from_pretrained(base(case), str(folder))


def load_merged(case: dict, folder: Path):
    return auto_class(case).from_pretrained(folder)


def load_adapterhub(case: dict, folder: Path):
    import adapters

    if case["num_labels"] is None:
        model = base(case)
        adapters.init(model)
    else:
        model = adapters.AutoAdapterModel.from_pretrained(case["base"])
    model.set_active_adapters(model.load_adapter(str(folder), use_safetensors=True))
    return model


LOADERS = {"lora": load_plain_lora, "servable": load_plain_lora, "merged": load_merged, "adapters": load_adapterhub}


@torch.no_grad()
def compute(model, inputs: dict) -> torch.Tensor:
    return model.eval()(**inputs).logits


def check_outputs(case: dict, folder: Path, inputs: dict, expected: torch.Tensor) -> str:
    found = compute(LOADERS[folder.name](case, folder), inputs)
    difference = (found - expected).abs().max().item() / max(1.0, expected.abs().max().item())
    assert difference <= LIMIT, f"{folder}: outputs differ by {difference:.2g} of the largest"
    return f"outputs within {difference:.1e}"


def main() -> None:
    assert importlib.util.find_spec("peftsearch") is None, "peftsearch is installed here"
    root, formats = Path(sys.argv[1]), sys.argv[2:]
    for package in ("torch", "transformers", "peft", "adapters"):
        try:
            print(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    for path in sorted(root.glob("*/case.json")):
        case = json.loads(path.read_text())
        tensors = load_file(path.parent / "tensors.safetensors")
        expected = tensors.pop("logits")
        for name in (n for n in formats if (path.parent / n).is_dir()):
            folder = path.parent / name
            print(f"{path.parent.name:28} {name:9} {check_outputs(case, folder, tensors, expected)}")


if __name__ == "__main__":
    main()
