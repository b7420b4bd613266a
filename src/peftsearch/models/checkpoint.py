"""Names and shapes of a checkpoint's tensors, read without the tensors."""

import json
import logging
from collections.abc import Set
from pathlib import Path

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from safetensors import safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from peftsearch.models.location import location_of

logger = logging.getLogger(__name__)


def checkpoint_keys(name: str) -> Set[str] | None:
    """Read the names of the tensors in a pretrained model's safetensors files.

    For a model on the hub, the cache is searched first; else the hub is asked for the index or the header alone.

    Args:
        name: as for `load_model`.

    Returns:
        None if the names are unknown: for a .gguf file, a folder with config.json alone, or a model on the hub that is
        neither in the cache nor reachable.
    """
    location = location_of(name)
    if "gguf_file" in location:
        return None
    place = location["pretrained_model_name_or_path"]
    try:
        file = find_weights(place)
        if file is not None:
            return _keys_in(file)
        return None if Path(place).is_dir() else _keys_on_hub(place)
    except Exception as error:  # of a damaged file or the network; loading the weights explains it
        logger.warning("Cannot read which tensors the checkpoint of '%s' holds: %s", name, error)
        return None


def find_weights(place: str) -> Path | None:
    """Find `model.safetensors`, or else the index of several such files.

    Args:
        place: a folder, or a hub id, of which only the cache is searched.
    """
    for filename in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME):
        found = Path(place, filename) if Path(place).is_dir() else try_to_load_from_cache(place, filename)
        # The cache also notes files that a repository lacks, with an object that is no path.
        if isinstance(found, str | Path) and Path(found).is_file():
            return Path(found)
    return None


def read_index(file: Path) -> dict[str, str]:
    """Read the index of a checkpoint in several files: name of a tensor -> name of the file that holds it."""
    return json.loads(file.read_text(encoding="utf-8"))["weight_map"]


def read_shapes(file: Path) -> dict[str, list[int]]:
    """Read the header of a safetensors file: name of a tensor -> its shape."""
    with safe_open(file, framework="pt") as opened:
        return {key: opened.get_slice(key).get_shape() for key in opened.keys()}  # noqa: SIM118


def _keys_in(file: Path) -> Set[str]:
    return (read_index(file) if file.suffix == ".json" else read_shapes(file)).keys()


def _keys_on_hub(repository: str) -> Set[str]:
    hub = HfApi()
    try:
        return hub.parse_safetensors_file_metadata(repository, SAFE_WEIGHTS_NAME).tensors.keys()
    except EntryNotFoundError:
        return _keys_in(Path(hub.hf_hub_download(repository, SAFE_WEIGHTS_INDEX_NAME)))
