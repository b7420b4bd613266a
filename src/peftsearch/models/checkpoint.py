"""Names of a checkpoint's tensors, read without the tensors."""

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
    """Names of the tensors in a pretrained model's safetensors files.

    Of a model on the hub the cache is asked first, then the hub, for the index or the file's header alone.

    Args:
        name: as for `load_model`.

    Returns:
        None where nothing tells the names: a .gguf file, a folder with config.json alone, or a model on the hub that
        is neither in the cache nor reachable.
    """
    location = location_of(name)
    if "gguf_file" in location:
        return None
    place = location["pretrained_model_name_or_path"]
    try:
        file = _local_file(place)
        if file is not None:
            return _keys_in(file)
        return None if Path(place).is_dir() else _keys_on_hub(place)
    except Exception as error:  # whatever a damaged file or the network raises; to load the weights tells it in full
        logger.warning("Cannot read which tensors the checkpoint of '%s' holds: %s", name, error)
        return None


def _local_file(place: str) -> Path | None:
    """The weights, or else their index, in a folder or in the hub's cache."""
    for filename in (SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME):
        found = Path(place, filename) if Path(place).is_dir() else try_to_load_from_cache(place, filename)
        # The cache also notes files that a repository lacks, with an object that is no path.
        if isinstance(found, str | Path) and Path(found).is_file():
            return Path(found)
    return None


def _keys_in(file: Path) -> Set[str]:
    if file.suffix == ".json":
        return json.loads(file.read_text(encoding="utf-8"))["weight_map"].keys()
    with safe_open(file, framework="pt") as opened:
        return set(opened.keys())


def _keys_on_hub(repository: str) -> Set[str]:
    hub = HfApi()
    try:
        return hub.parse_safetensors_file_metadata(repository, SAFE_WEIGHTS_NAME).tensors.keys()
    except EntryNotFoundError:
        return _keys_in(Path(hub.hf_hub_download(repository, SAFE_WEIGHTS_INDEX_NAME)))
