"""A small task, and settings of runs that take seconds."""

import csv
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "poor", "awful", "sad")
_SIZES = {"train": 48, "valid": 12, "test": 12}
_TRAINING = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "max_seq_length": 32}


def write_reviews(path: Path, count: int, seed: int) -> Path:
    """Write rows of the columns review and stars, whose label is decided by one word."""
    rng = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars"])
        for i in range(count):
            words = [rng.choice(("the", "film", "was", "it")) for _ in range(rng.randint(2, 5))]
            label = i % 2
            writer.writerow([" ".join([*words, rng.choice((BAD, GOOD)[label])]), ("down", "up")[label]])
    return path


def write_review_files(folder: Path) -> str:
    """Write training, validation and test file; return their paths as `data` takes them."""
    files = [write_reviews(folder / f"{name}.csv", size, seed) for seed, (name, size) in enumerate(_SIZES.items())]
    return ",".join(map(str, files))


def small_run(*, model: Path, reviews: str, output: Path, **changes: Any) -> Mapping[str, Any]:
    """Settings of a search of a few seconds, for `peftsearch.search`.

    Args:
        model: folder of a tiny model; see `save_tiny`.
        reviews: paths, as `write_review_files` returns them.
        output: run folder.
        changes: other values of settings, or further ones.
    """
    return {
        "model": str(model),
        "data": reviews,
        "text": "review",
        "label": "stars",
        "budget": "600",
        "output": str(output),
        "verify": False,
        "method": {"name": "bipeft", "max_triggers": 3, "warmup": 0.3, "weight_warmup": 1, "window": 1},
        "training": dict(_TRAINING),
    } | changes
