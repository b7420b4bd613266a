"""Check a checkpoint on disk by its headers, before a run starts that would fail on it."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from peftsearch.errors import ModelError
from peftsearch.models.checkpoint import find_weights, read_index, read_shapes
from peftsearch.models.completeness import check_sizes
from peftsearch.models.folder import describe_lack_of_weights
from peftsearch.models.head import TaskModel
from peftsearch.models.load import load_config
from peftsearch.models.location import explained, location_of

# How a file starts that git-lfs has not fetched.
_GIT_LFS = b"version https://git-lfs"
# Types of safetensors that hold weights only together with scales.
_PACKED = ("I8", "U8", "I4", "U4", "I32", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4")


def check_weights(sketch: TaskModel) -> bool:
    """Check that the weights in a model's folder exist, are undamaged, and have the sizes of its configuration.

    Models on the hub and .gguf files have no headers at hand; only loading tells their errors. It alone tells, too,
    whether tensors of other names are those that a model lacks, and whether quantised ones can be used here.

    Args:
        sketch: the model on the meta device.

    Returns:
        whether the weights lie in a folder and were checked; False if they are to be loaded for that.

    Raises:
        ModelError: for the first problem that is found.
    """
    location = location_of(sketch.name)
    folder = Path(location["pretrained_model_name_or_path"])
    if "gguf_file" in location or not folder.is_dir():
        return False
    shapes = _shapes_in(sketch.name, folder)
    if getattr(load_config(sketch.name), "quantization_config", None):
        return False
    expected = {name: list(tensor.shape) for name, tensor in sketch.model.state_dict().items()}
    prefix = f"{sketch.model.base_model_prefix}."
    wrong, found = [], set()
    for key, shape in shapes.items():
        own = next((k for k in (key, prefix + key, key.removeprefix(prefix)) if k in expected), None)
        found.add(own)
        if own is not None and expected[own] != shape:
            wrong.append(own)
    check_sizes(sketch.name, sketch.head, wrong)
    head = tuple(f"{module}." for module in sketch.head)
    return all(name in found or name.startswith(head) for name, _ in sketch.model.named_parameters())


def _shapes_in(name: str, folder: Path) -> dict[str, list[int]]:
    """Read the shape of every tensor of a checkpoint."""
    shapes: dict[str, list[int]] = {}
    with explained(name):
        for file in _files_in(name, folder):
            try:
                _check_is_plain(name, file)
                shapes |= read_shapes(file)
            except SafetensorError as error:
                raise ModelError(f"The weights of '{name}' cannot be read: {_describe_damage(file, error)}") from error
    return shapes


def _describe_damage(file: Path, error: Exception) -> str:
    with file.open("rb") as opened:
        if opened.read(len(_GIT_LFS)) == _GIT_LFS:
            return f"'{file.name}' is a pointer of git-lfs. Fetch the file itself with `git lfs pull`."
    return f"'{file.name}' is damaged ({error}). Copy it anew."


def _files_in(name: str, folder: Path) -> list[Path]:
    found = find_weights(str(folder))
    if found is None:
        raise ModelError(describe_lack_of_weights(name, folder))
    if found.suffix != ".json":
        return [found]
    try:
        files = [folder / file for file in sorted(set(read_index(found).values()))]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"The index of the weights, '{found}', is damaged ({error!r}). Copy it anew.") from error
    lacked = [file.name for file in files if not file.is_file()]
    if lacked:
        raise ModelError(
            f"The weights of '{name}' are not complete: {len(lacked)} of the {len(files)} files that {found.name} "
            f"names are missing, such as '{lacked[0]}'. Copy them there."
        )
    return files


def _check_is_plain(name: str, file: Path) -> None:
    """Refuse whole numbers in the place of weights where no configuration says how they are to be read."""
    with safe_open(file, framework="pt") as opened:
        types = {key: opened.get_slice(key).get_dtype() for key in opened.keys()}  # noqa: SIM118
    packed = [key for key, kind in types.items() if kind in _PACKED and key.endswith("weight")]
    if packed and not getattr(load_config(name), "quantization_config", None):
        raise ModelError(
            f"The weights of '{name}' are quantised: '{packed[0]}' is stored as {types[packed[0]]}, and config.json "
            "has no quantization_config that says how to read that. Take the model in its original precision."
        )
