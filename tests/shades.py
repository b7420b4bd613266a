"""Folders of pictures that are told by their brightness."""

import random
from pathlib import Path

import numpy as np
from PIL import Image

# Class -> its mean shade of grey.
SHADES = {"dark": 70, "light": 185}


def write_shades(folder: Path, *, count: int, seed: int = 0) -> Path:
    """Write so many 8 x 8 pictures in two class folders by turns; no two are equal.

    Args:
        folder: is made.
        count: pictures of both classes.
        seed: of their noise.
    """
    rng = np.random.default_rng(seed)
    names = list(SHADES)
    for i in range(count):
        name = names[i % 2]
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(-40, 40, (8, 8))
        Image.fromarray((SHADES[name] + noise).astype(np.uint8)).save(place / f"{i:03d}.png")
    return folder


def write_splits(folder: Path) -> Path:
    """Write the folders train, validation and test, each with class folders."""
    for seed, (name, count) in enumerate({"train": 48, "validation": 16, "test": 16}.items()):
        write_shades(folder / name, count=count, seed=seed)
    return folder


def shuffled(paths: list[Path]) -> list[Path]:
    """The same paths in another order."""
    return random.Random(0).sample(paths, len(paths))
