"""A small task of our own and saved tiny models."""

import csv
import random
from pathlib import Path

import pytest
from tiny_models import save_tiny

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "poor", "awful", "sad")


def write_reviews(path: Path, count: int, seed: int) -> Path:
    """Rows whose label is decided by one word."""
    rng = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "stars"])
        for i in range(count):
            words = [rng.choice(("the", "film", "was", "it")) for _ in range(rng.randint(2, 5))]
            label = i % 2
            writer.writerow([" ".join([*words, rng.choice((BAD, GOOD)[label])]), ("down", "up")[label]])
    return path


@pytest.fixture(scope="session")
def reviews(tmp_path_factory) -> str:
    """Training, validation and test file."""
    folder = tmp_path_factory.mktemp("reviews")
    sizes = {"train": 48, "valid": 12, "test": 12}
    files = [write_reviews(folder / f"{name}.csv", size, seed) for seed, (name, size) in enumerate(sizes.items())]
    return ",".join(map(str, files))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """family -> folder with a saved tiny model, made once."""
    made: dict[str, Path] = {}

    def folder(family: str) -> str:
        if family not in made:
            made[family] = save_tiny(family, tmp_path_factory.mktemp(family))
        return str(made[family])

    return folder


@pytest.fixture
def settings(reviews, tiny_folder, tmp_path):
    """Settings of a run of a few seconds, for a family."""

    def make(family: str = "bert", **changes) -> dict:
        training = {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "learning_rate": 3e-3,
            "max_seq_length": 32,
        }
        return {
            "model": tiny_folder(family),
            "data": reviews,
            "text": "review",
            "label": "stars",
            "budget": "600",
            "output": str(tmp_path / "run"),
            "verify": False,
            "method": {"max_triggers": 3, "warmup": 0.3, "weight_warmup": 1, "window": 1},
            "training": training | {"max_seq_length": 32},
        } | changes

    return make
