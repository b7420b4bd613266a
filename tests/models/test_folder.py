"""Folders that are no models, and weights that cannot be read: said before a run starts, with what to do."""

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from peftsearch.errors import ModelError
from peftsearch.run.dry_run import describe_train
from peftsearch.run.make_config import make_config
from peftsearch.testing.tiny_models import save_tiny, tiny_tokenizer


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder: Path, change) -> None:
    """Write the tensors again as (name, tensor) pairs that `change` makes of each; None leaves one out."""
    pairs = [change(name, tensor) for name, tensor in load_file(folder / "model.safetensors").items()]
    save_file(dict(pair for pair in pairs if pair), folder / "model.safetensors", metadata={"format": "pt"})


def replaced_by(name: str):
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def with_index(files: dict[str, list[str]]):
    def make(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        weight_map = {name: file for file, names in files.items() for name in names}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return make


def with_adapter(folder: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"])).save_pretrained(folder)


def adapter_alone(folder: Path) -> None:
    with_adapter(folder)
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()


def run_folder(folder: Path) -> None:
    for name in ("config.yaml", "configuration.json"):
        (folder / name).write_text("{}")


def without_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def packed(kind: torch.dtype):
    def pack(name: str, tensor: torch.Tensor) -> tuple[str, torch.Tensor]:
        return name, tensor.to(kind) if tensor.dim() == 2 and "encoder" in name else tensor

    return lambda folder: change_tensors(folder, pack)


FAULTS = {
    "pickled": (replaced_by("pytorch_model.bin"), r"no model.safetensors, but pytorch_model.bin: pickled.*Convert"),
    "TensorFlow": (replaced_by("tf_model.h5"), r"but tf_model.h5: weights of TensorFlow. Take a version"),
    "gguf": (replaced_by("small.gguf"), r"but small.gguf: .*Give that file itself as the model"),
    "consolidated": (replaced_by("consolidated.safetensors"), r"but consolidated.safetensors: .* own names"),
    "a part": (replaced_by("model-00001-of-00002.safetensors"), r"a part without the index .*Copy the index"),
    "nothing": (lambda folder: (folder / "model.safetensors").unlink(), r"but no weights.*Copy the whole model"),
    "missing parts": (
        with_index({"model-1.safetensors": ["a"], "model-2.safetensors": ["b"]}),
        r"not complete: 1 of the 2 files that model.safetensors.index.json names.*'model-2.safetensors'",
    ),
    "no index": (
        lambda folder: (with_index({})(folder), (folder / "model.safetensors.index.json").write_text("{}")),
        r"The index of the weights, .*model.safetensors.index.json', is damaged",
    ),
    "git-lfs": (
        lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1"),
        r"'model.safetensors' is a pointer of git-lfs",
    ),
    "int8": (packed(torch.int8), r"quantised: '.*weight' is stored as I8, and config.json has no quantization_config"),
    "fp8": (packed(torch.float8_e4m3fn), r"quantised: '.*weight' is stored as F8_E4M3"),
    "4 bits": (
        lambda folder: edit(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        r"GPTQ quantized model requires",
    ),
    "a layer less": (
        lambda folder: change_tensors(folder, lambda n, t: None if "layer.1." in n else (n, t)),
        r"lack 16 of the 39 tensors .*'bert.encoder.layer.1.attention.self.query.weight', which would be",
    ),
    "other names": (
        lambda folder: change_tensors(folder, lambda n, t: (f"module.{n}", t)),
        r"lack 37 of the 37 tensors",
    ),
    "own adapter": (with_adapter, r"holds an adapter \(adapter_config.json\) beside the model"),
    "adapter": (adapter_alone, r"is an adapter, not a model. Give the model that it was trained on \('.*'\)"),
    "run": (run_folder, r"is the folder of a run, not a model.*--format merged"),
    "no config": (without_config, r"has no config.json, so it is no model of transformers"),
    "no tokenizer": (without_tokenizer, r"has no tokenizer: none of tokenizer.json, vocab.txt"),
    "own code": (
        lambda folder: edit(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "mine.Mine"}),
        r"brings Python code of its own along.*SearchTrainer",
    ),
}


@pytest.mark.parametrize("fault,message", FAULTS.values(), ids=list(FAULTS))
def test_what_is_wrong_with_a_folder_is_said_by_a_dry_run(fault, message, settings, tmp_path):
    folder = save_tiny("bert", tmp_path / "model")
    fault(folder)
    given = settings(configuration="lora", method={}, budget="", model=str(folder))
    with pytest.raises(ModelError, match=message):
        describe_train(make_config(given))
    assert not Path(given["output"]).exists()


def test_files_are_told_from_models(settings, tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    for name, message in ((tmp_path / "none.gguf", "There is no file"), (tmp_path / "tokenizer.json", "is a file")):
        with pytest.raises(ModelError, match=message):
            describe_train(make_config(settings(configuration="lora", method={}, budget="", model=str(name))))


def test_a_name_that_is_no_folder_here_says_where_here_is(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=f"There is no folder 'llama' in '{tmp_path}'"):
        describe_train(make_config(settings(configuration="lora", method={}, budget="", model="llama")))
