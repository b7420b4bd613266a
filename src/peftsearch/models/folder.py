"""What is told of a folder that cannot be a pretrained model, before transformers reads it."""

import json
from pathlib import Path

from peftsearch.errors import ModelError
from peftsearch.models.location import location_of

_CONVERT = (
    "Convert them once: load the folder with AutoModel.from_pretrained of transformers and write it with "
    "save_pretrained, or take a version of the model with model.safetensors."
)
_TAKE_ANOTHER = "Take a version of the model with model.safetensors."
# Weights that others wrote -> what they are, and what to do.
_OTHER_WEIGHTS = {
    "pytorch_model*.bin": ("pickled weights, which can run code when they are loaded", _CONVERT),
    "tf_model.h5": ("weights of TensorFlow", _TAKE_ANOTHER),
    "flax_model.msgpack": ("weights of Flax", _TAKE_ANOTHER),
    "*.onnx": ("a graph of ONNX, which cannot be trained", _TAKE_ANOTHER),
    "*.gguf": ("weights in another format", "Give that file itself as the model."),
    "consolidated*.safetensors": ("weights under their authors' own names", _TAKE_ANOTHER),
    "*.safetensors": ("a part without the index model.safetensors.index.json", "Copy the index there."),
    "*.pt*": ("pickled weights, which can run code when they are loaded", _TAKE_ANOTHER),
}


def check_folder(name: str) -> None:
    """Refuse a folder that is an adapter, a run, or otherwise no model, and a file that is no .gguf.

    Args:
        name: as for `load_model`; names of the hub pass.

    Raises:
        ModelError: saying what the folder is, and what to give.
    """
    location = location_of(name)
    place = Path(location["pretrained_model_name_or_path"])
    if "gguf_file" in location:
        if not (place / location["gguf_file"]).is_file():
            raise ModelError(f"There is no file '{name}'. Give a .gguf file that is there.")
    elif place.is_file():
        raise ModelError(f"The model '{name}' is a file. Give the folder that it is in, or a .gguf file.")
    elif place.is_dir():
        _check_content(name, place)


def _check_content(name: str, folder: Path) -> None:
    adapter, has_config = folder / "adapter_config.json", (folder / "config.json").is_file()
    if adapter.is_file() and has_config:
        raise ModelError(
            f"The folder '{name}' holds an adapter (adapter_config.json) beside the model, which transformers would "
            "put onto it. Merge the adapter into the model (peft's merge_and_unload, then save_pretrained), or move "
            "its files elsewhere."
        )
    if adapter.is_file():
        raise ModelError(
            f"'{name}' is an adapter, not a model. Give the model that it was trained on{_base_of(adapter)}; its own "
            "weights are gone on from with `peftsearch train --configuration RUN --inherit true`."
        )
    if (folder / "configuration.json").is_file() and (folder / "config.yaml").is_file():
        raise ModelError(
            f"'{name}' is the folder of a run, not a model. Give the model that the run was made with, or export the "
            f"run first: peftsearch export {name} --format merged --output FOLDER."
        )
    if not has_config:
        gguf = sorted(folder.glob("*.gguf"))
        hint = f"Give the file itself: {gguf[0]}." if gguf else "Give a folder with config.json and model.safetensors."
        raise ModelError(f"The folder '{name}' has no config.json, so it is no model of transformers. {hint}")


def _base_of(adapter: Path) -> str:
    """The base model that an adapter names, in brackets; nothing if it names none."""
    try:
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base = None
    return f" ('{base}')" if isinstance(base, str) and base else ""


def describe_lack_of_weights(name: str, folder: Path) -> str:
    """Say of a folder without `model.safetensors` what it has instead, and what to do."""
    for pattern, (words, to_do) in _OTHER_WEIGHTS.items():
        found = sorted(folder.glob(pattern))
        if found:
            return f"The folder '{name}' has no model.safetensors, but {found[0].name}: {words}. {to_do}"
    return (
        f"The folder '{name}' has a config.json, but no weights: no file named model.safetensors, and no "
        "model.safetensors.index.json. Copy the whole model."
    )
