"""Files of the `adapters` library: descriptions of configurations, and the task head."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from peftsearch.exports.adapterhub.layout import ModelLayout
from peftsearch.exports.lora.form import read_head
from peftsearch.exports.source import Source

# Name of the adapter and of its head.
NAME = "peftsearch"
_VERSION = "adapters.1.3.0"


def describe(source: Source, config: dict[str, Any]) -> dict[str, Any]:
    """Wrap a configuration in the description that the library saves.

    Args:
        source: of the export.
        config: the configuration of an adapter or of a head.
    """
    base = source.base.config
    return {
        "config": config,
        "hidden_size": base.hidden_size,
        "model_class": type(source.base).__name__,
        "model_name": source.name,
        "model_type": base.model_type,
        "name": NAME,
        "version": _VERSION,
    }


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document in the library's style."""
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_head(source: Source, layout: ModelLayout, folder: Path) -> None:
    """Write the task head as the library's flexible classification head.

    That head has dropout and a linear map for each layer, and an activation between two layers.

    Args:
        source: of the export.
        layout: of the model, with a head.
        folder: it must exist.
    """
    saved = read_head(source).items()
    trained = {f"{path}.{name}": tensor for path, tensors in saved for name, tensor in tensors.items()}
    state = source.base.state_dict() | trained
    tensors = {
        f"heads.{NAME}.{3 * i + 1}.{name}": state[f"{path}.{name}"].detach().contiguous().clone()
        for i, path in enumerate(layout.head)
        for name in ("weight", "bias")
        if f"{path}.{name}" in state
    }
    last = layout.head[-1]
    config = {
        "head_type": "classification",
        "num_labels": len(state[f"{last}.weight"]),
        "layers": len(layout.head),
        "activation_function": layout.activation,
        "label2id": source.base.config.label2id,
        "use_pooler": False,
        "bias": f"{last}.bias" in state,
        "dropout_prob": None,
    }
    write_json(folder / "head_config.json", describe(source, config) | {"model_class": layout.model_class})
    save_file(tensors, folder / "model_head.safetensors")
