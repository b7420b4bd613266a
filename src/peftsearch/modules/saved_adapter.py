"""Load a saved adapter onto a model, and explain it if the two do not match."""

import json
import re
from pathlib import Path
from typing import Any

from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel

from peftsearch.errors import ModelError, RunFolderError
from peftsearch.files import read_limited
from peftsearch.space.configuration import MAX_BYTES

_MISMATCH = re.compile(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)", re.DOTALL)
# Sites or tensors named in a message.
_NAMED = 3


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """Read `adapter_config.json` of an adapter.

    Raises:
        RunFolderError: if the file is missing or malformed.
    """
    try:
        document = dict(json.loads(read_limited(folder / "adapter_config.json", max_bytes=MAX_BYTES)))
        for name in ("base_model_name_or_path", "task_type"):
            if not isinstance(document.get(name), str | None):
                raise ValueError(f"'{name}' must be text, found {document[name]!r:.100}")
        return document
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise RunFolderError(f"Cannot read the adapter in '{folder}': {error}.") from error


def load_adapter(base: PreTrainedModel, folder: Path, *, name: str) -> PeftModel:
    """Load the adapter in a folder onto a pretrained model.

    Args:
        base: the pretrained model; it is changed in place.
        folder: the adapter's folder, with adapter_config.json.
        name: the model's name, for messages.

    Raises:
        ModelError: if the model lacks sites of the adapter, or has other sizes there.
        RunFolderError: if the adapter cannot be read.
    """
    config = read_adapter_config(folder)
    _check_ranks(config, base, folder)
    modules = dict(base.named_modules())
    sites = config.get("sites") or {}
    missing = sorted(path for path in sites if path not in modules) if isinstance(sites, dict) else []
    if missing:
        raise ModelError(
            f"The adapter in '{folder}' belongs to another model than '{name}', which lacks {len(missing)} of its "
            f"sites: {', '.join(missing[:_NAMED])}. Give the model that it was trained on."
        )
    try:
        return PeftModel.from_pretrained(base, str(folder))
    except (RuntimeError, ValueError, IndexError) as error:
        raise ModelError(
            f"The adapter in '{folder}' belongs to another model than '{name}': {_explain(str(error))}. Give the "
            "model that it was trained on."
        ) from error
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise RunFolderError(f"Cannot read the adapter in '{folder}': {error}.") from error


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Save the adapter of a model whose embeddings have the size that they had in its checkpoint.

    peft would look for that checkpoint's configuration, on the hub too, to see whether they have been resized, and
    warn where it finds none, as beside a .gguf file.

    Args:
        model: with one adapter.
        folder: to write.
    """
    model.save_pretrained(str(folder), save_embedding_layers=False)


def _check_ranks(config: dict[str, Any], base: PreTrainedModel, folder: Path) -> None:
    """Refuse ranks of peft's own methods that exceed every layer's width, before they allocate endless memory."""
    widest = max(size for parameter in base.parameters() for size in parameter.shape)
    pattern = config.get("rank_pattern")
    patterns = list(pattern.values()) if isinstance(pattern, dict) else []
    for rank in (config.get("r"), config.get("init_r"), config.get("num_virtual_tokens"), *patterns):
        if isinstance(rank, int | float) and rank > widest:
            raise RunFolderError(f"The adapter in '{folder}' has the rank {rank:,}, but no layer is above {widest:,}.")


def _explain(message: str) -> str:
    """Shorten torch's message to the shapes in it, or else to its first line."""
    found = _MISMATCH.findall(message)
    if not found:
        return message.strip().splitlines()[0].rstrip(".")
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(f"{key} is {own} in the adapter and {there} there" for key, own, there in found[:_NAMED]) + more
