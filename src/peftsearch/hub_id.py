"""Tell the name of a model on the Hugging Face hub from a path."""

from pathlib import Path

from huggingface_hub.utils import HFValidationError, validate_repo_id


def hub_id(name: str | None) -> str | None:
    """The name if it can be a hub id; None for a folder, a file or no name."""
    if not name or Path(name).exists() or name.endswith(".gguf"):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name
