"""Tiny models that read pictures, of types that are read by structure."""

from collections.abc import Callable
from typing import Any

from transformers import BeitConfig, DeiTConfig, DeiTForImageClassification, Dinov2Config, PreTrainedModel, SwinConfig

from peftsearch.testing import build
from peftsearch.testing.tiny_models import PICTURE_SIZE, WIDTH

_SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": PICTURE_SIZE,
    "patch_size": 4,
}
_SWIN: dict[str, Any] = {"image_size": PICTURE_SIZE, "patch_size": 2, "embed_dim": 16, "window_size": 2}

PICTURE_MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "beit": lambda: build(BeitConfig(**_SIZES, intermediate_size=64, use_relative_position_bias=True)),
    # transformers cannot choose between its two classes of DeiT.
    "deit": lambda: DeiTForImageClassification(DeiTConfig(**_SIZES, intermediate_size=64)),
    "dinov2": lambda: build(Dinov2Config(**_SIZES, mlp_ratio=2)),
    "swin": lambda: build(SwinConfig(**_SWIN, depths=[1, 1], num_heads=[2, 4])),
}
