"""Check a checkpoint on disk by its headers, before a run starts that would fail on it."""

from pathlib import Path

from safetensors import SafetensorError
from transformers.utils import SAFE_WEIGHTS_NAME

from peftsearch.errors import ModelError
from peftsearch.models.checkpoint import find_weights, read_index, read_shapes
from peftsearch.models.head import TaskModel
from peftsearch.models.load import check_sizes
from peftsearch.models.location import explained, location_of


def check_weights(sketch: TaskModel) -> bool:
    """Check that the weights in a model's folder exist, are undamaged, and have the sizes of its configuration.

    Models on the hub and .gguf files have no headers at hand; only loading tells their errors.

    Args:
        sketch: the model on the meta device.

    Returns:
        whether the weights lie in a folder and were checked.

    Raises:
        ModelError: for the first problem that is found.
    """
    location = location_of(sketch.name)
    folder = Path(location["pretrained_model_name_or_path"])
    if "gguf_file" in location or not folder.is_dir():
        return False
    shapes = _shapes_in(sketch.name, folder)
    expected = {name: list(tensor.shape) for name, tensor in sketch.model.state_dict().items()}
    prefix = f"{sketch.model.base_model_prefix}."
    wrong = []
    for key, shape in shapes.items():
        own = next((k for k in (key, prefix + key, key.removeprefix(prefix)) if k in expected), None)
        if own is not None and expected[own] != shape:
            wrong.append(own)
    check_sizes(sketch.name, sketch.head, wrong)
    return True


def _shapes_in(name: str, folder: Path) -> dict[str, list[int]]:
    """Read the shape of every tensor of a checkpoint."""
    shapes: dict[str, list[int]] = {}
    with explained(name):
        for file in _files_in(folder):
            try:
                shapes |= read_shapes(file)
            except SafetensorError as error:
                raise ModelError(
                    f"The weights of '{name}' cannot be read: '{file.name}' is damaged ({error}). Copy it anew."
                ) from error
    return shapes


def _files_in(folder: Path) -> list[Path]:
    found = find_weights(str(folder))
    if found is None:
        raise OSError(f"Error no file named {SAFE_WEIGHTS_NAME} found in directory {folder}.")
    return (
        [folder / shard for shard in sorted(set(read_index(found).values()))] if found.suffix == ".json" else [found]
    )
