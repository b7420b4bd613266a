"""What an image processor makes of pictures, and whether a model takes it."""

import inspect
from typing import TYPE_CHECKING

import torch
from transformers import BaseImageProcessor, PreTrainedModel

from peftsearch.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image

# A picture that an image processor is tried on, in pixels.
_WIDTH, _HEIGHT = 40, 30
_INPUT = "pixel_values"


def make_pixels(processor: BaseImageProcessor, picture: "Image") -> torch.Tensor:
    """Turn a picture into what a model reads.

    Args:
        processor: the model's.
        picture: of Pillow, in RGB.

    Returns:
        (channels, height, width).
    """
    # Of a picture three pixels high the processor could not tell height from channels.
    return processor(picture, input_data_format="channels_last", return_tensors="pt")[_INPUT][0]


def check_takes_pictures(name: str, model: PreTrainedModel, processor: BaseImageProcessor) -> None:
    """Refuse a model that does not take the pictures of its image processor, or whose head cannot be trained.

    Args:
        name: of the model, for messages.
        model: with a head for classes; its configuration and the signature of its forward pass are read.
        processor: loaded for the model.

    Raises:
        ModelError: saying what does not fit.
    """
    if model.main_input_name != _INPUT or "labels" not in inspect.signature(model.forward).parameters:
        raise ModelError(
            f"'{name}' is a {type(model).__name__}, which does not take pictures as {_INPUT} with one label each. "
            "Take another model, such as a ViT, DINOv2, BEiT or Swin."
        )
    if model.base_model is model:
        raise ModelError(
            f"'{name}' is a {type(model).__name__}, whose head cannot be told from its backbone. Take another model, "
            "such as a ViT, DINOv2, BEiT or Swin."
        )
    pixels = _example_of(name, processor)
    try:
        _pass_through(model, pixels)
    except ValueError as error:
        raise ModelError(
            f"The model '{name}' does not take what its image processor makes of a picture, {_sized(pixels)} "
            f"(channels x height x width): {error} Correct size or crop_size in its preprocessor_config.json."
        ) from error


def _pass_through(model: PreTrainedModel, pixels: torch.Tensor) -> None:
    """Compute a model's outputs of a picture without numbers.

    Args:
        model: on the meta device.
        pixels: (channels, height, width).

    Raises:
        ValueError: if the picture does not have the size that the model takes.
    """
    try:
        with torch.no_grad():
            model(torch.empty(1, *pixels.shape, device="meta"))
    except RuntimeError as error:
        # Of an operation that needs numbers nothing is learned; others are sizes that do not go together.
        if not isinstance(error, NotImplementedError) and "meta" not in str(error):
            raise ValueError(str(error)) from error


def _example_of(name: str, processor: BaseImageProcessor) -> torch.Tensor:
    """What an image processor makes of a black picture."""
    from PIL import Image

    try:
        return make_pixels(processor, Image.new("RGB", (_WIDTH, _HEIGHT)))
    except Exception as error:  # of settings that someone wrote
        raise ModelError(
            f"The image processor of '{name}' fails on a picture: {error}. Correct its preprocessor_config.json."
        ) from error


def _sized(pixels: torch.Tensor) -> str:
    return " x ".join(map(str, pixels.shape))
