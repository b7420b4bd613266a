"""Files of random rows for training, validation and test."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_splits(
    folder: Path, make_row: Callable[[random.Random], Mapping[str, Any]], *, train: int, held: int
) -> str:
    """Write a jsonl file for each split, drawn one after the other, and name them as `data` takes them.

    Args:
        folder: to write to.
        make_row: draws a row.
        train: rows for training.
        held: rows for validation, and as many for test.
    """
    rng, paths = random.Random(0), []
    for name, size in (("train", train), ("valid", held), ("test", held)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(make_row(rng)) + "\n" for _ in range(size)))
        paths.append(str(path))
    return ",".join(paths)
