"""A fingerprint of a model's files, by which it is known again at another place."""

import hashlib
from pathlib import Path

from peftsearch.models.location import location_of

# Files that decide on what a model computes.
_DECISIVE = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "preprocessor_config.json",
)
# Of a large file the start, where the names and shapes of tensors are, and blocks at even distances are read.
_START, _BLOCK, _NUM_BLOCKS = 1 << 20, 1 << 16, 64


def fingerprint(name: str) -> str | None:
    """Compute the fingerprint of a model.

    Of each file that decides on what the model computes, at most 5 MB are read: a copy has the same fingerprint, other
    weights have another.

    Args:
        name: "demo", "demo-decoder", a folder, a .gguf file or a hub id.

    Returns:
        a SHA-256; None for a hub id, and where there is nothing.
    """
    location = location_of(name)
    folder = Path(location["pretrained_model_name_or_path"])
    patterns = (location["gguf_file"],) if "gguf_file" in location else _DECISIVE
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    if not files:
        return None
    digest = hashlib.sha256()
    for path in files:
        # A .gguf file alone may have another name.
        digest.update(path.name.encode() if len(files) > 1 else b"")
        _add_file(digest, path)
    return digest.hexdigest()


def _add_file(digest: "hashlib._Hash", path: Path) -> None:
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        if size <= _START + _NUM_BLOCKS * _BLOCK:
            digest.update(file.read())
            return
        digest.update(file.read(_START))
        for i in range(_NUM_BLOCKS):
            file.seek(_START + i * (size - _START - _BLOCK) // (_NUM_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
