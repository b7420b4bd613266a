"""Models in a .gguf file, which transformers unpacks: what it reads again and again is kept here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GgufConfig, PretrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

Location = dict[str, str]


def unpacked(location: Location) -> dict[str, Any]:
    """The arguments of `from_pretrained` for a location, of which a .gguf file is marked as unpacked.

    Its weights are unpacked in any case, but transformers neither trains nor saves a model that is not marked so.

    Args:
        location: as `location_of` gives it.
    """
    return location | {"quantization_config": GgufConfig(dequantize=True)} if "gguf_file" in location else location


def read_config(location: Location) -> PretrainedConfig:
    """The configuration in a .gguf file; parsed once, which takes seconds."""
    return deepcopy(_parsed(AutoConfig.from_pretrained, *_key(location)))


def read_tokenizer(location: Location) -> PreTrainedTokenizerBase:
    """The tokenizer in a .gguf file; parsed once, which takes seconds."""
    return deepcopy(_parsed(AutoTokenizer.from_pretrained, *_key(location)))


def _key(location: Location) -> tuple[str, str, int]:
    """Folder and name of a file, and the time of its last change; 0 where there is none, of which loading tells."""
    path = Path(location["pretrained_model_name_or_path"], location["gguf_file"])
    return str(path.parent), path.name, path.stat().st_mtime_ns if path.is_file() else 0


# Of a few files: a tokenizer takes some megabytes.
@lru_cache(maxsize=8)
def _parsed(load: Callable[..., Any], folder: str, name: str, changed: int) -> Any:
    return load(folder, gguf_file=name, trust_remote_code=False)


@contextmanager
def unpacking(location: Location) -> Iterator[None]:
    """Let transformers unpack a file without parsing anew what a process has parsed before, and quietly where asked.

    The progress bar obeys transformers' own switch, which it passes over. A parsed file is its index, without weights;
    the map of names is made anew for every module of a model otherwise.

    Args:
        location: as `location_of` gives it; with others than .gguf files nothing happens.
    """
    if "gguf_file" not in location:
        yield
        return
    import gguf
    from transformers import modeling_gguf_pytorch_utils

    before = modeling_gguf_pytorch_utils.tqdm, gguf.GGUFReader, gguf.get_tensor_name_map
    modeling_gguf_pytorch_utils.tqdm = transformers_logging.tqdm
    gguf.GGUFReader, gguf.get_tensor_name_map = _read, _name_map
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm, gguf.GGUFReader, gguf.get_tensor_name_map = before


def _read(path: str) -> Any:
    return _reader(str(path), Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _reader(path: str, changed: int) -> Any:
    from gguf import gguf_reader

    return gguf_reader.GGUFReader(path)


@lru_cache(maxsize=4)
def _name_map(architecture: Any, num_layers: int) -> Any:
    from gguf import tensor_mapping

    return tensor_mapping.get_tensor_name_map(architecture, num_layers)
