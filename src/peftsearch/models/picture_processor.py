"""The image processor of a model that reads pictures."""

from pathlib import Path

from transformers import AutoImageProcessor, BaseImageProcessor
from transformers.utils import IMAGE_PROCESSOR_NAME

from peftsearch.errors import ModelError
from peftsearch.models.location import explained, location_of


def load_image_processor(name: str) -> BaseImageProcessor:
    """Load a model's image processor: its resizing, rescaling and normalising, as its authors wrote it.

    It works with Pillow and numpy, whether torchvision is there or not, so that a run is the same on other machines.

    Args:
        name: a folder or a hub id.

    Raises:
        ModelError: if there is none, or one that needs torchvision.

    Example:
        load_image_processor("google/vit-base-patch16-224")
    """
    location = location_of(name)
    if "gguf_file" in location:
        raise ModelError(
            f"The model '{name}' is a .gguf file, which has no image processor. Give a folder with a model that reads "
            "pictures, such as a ViT, and its preprocessor_config.json."
        )
    folder = Path(location["pretrained_model_name_or_path"])
    if folder.is_dir() and not (folder / IMAGE_PROCESSOR_NAME).is_file():
        raise ModelError(
            f"The folder '{name}' has no image processor ({IMAGE_PROCESSOR_NAME}), which a model that reads pictures "
            "needs. Copy the file there, save it there with image_processor.save_pretrained, or take a model that "
            "reads pictures, such as a ViT."
        )
    with explained(name):
        return AutoImageProcessor.from_pretrained(**location, backend="pil", trust_remote_code=False)
