"""Pictures for a search: scikit-learn's handwritten digits, and a small ViT that was trained on half of the classes.

The 8 x 8 pictures of the digits 5 to 9 are written as PNG files in class folders of train, validation and test. The
model, which stands for a pretrained one, is trained here on the pictures of the digits 0 to 4, and saved with its
image processor as transformers saves models.

    python benchmarks/digits.py --output digits
    peftsearch search --model digits/vit --data digits/pictures --budget 1% --seeds 3 --output runs/digits
"""

import argparse
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil, set_seed

# Known to the model before, and to be learned.
BEFORE, AFTER = range(5), range(5, 10)
# Of the pictures of each class to be learned; the rest is for the test.
SIZES = {"train": 40, "validation": 50}
WIDTH, LAYERS, SIDE, PATCH = 64, 4, 8, 2
EPOCHS, BATCH, RATE = 40, 32, 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for pictures/ and vit/")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = read_pictures()
    write_pictures({digit: pictures[digit] for digit in AFTER}, args.output / "pictures", seed=args.seed)
    accuracy = save_model({digit: pictures[digit] for digit in BEFORE}, args.output / "vit", seed=args.seed)
    print(f"{args.output}/vit knows {accuracy:.1%} of the pictures of {BEFORE[0]} to {BEFORE[-1]} that it learned.")


def read_pictures() -> dict[int, list[Image.Image]]:
    """Each digit's pictures, whose 17 shades of grey become 0 to 255."""
    digits = load_digits()
    found: dict[int, list[Image.Image]] = {digit: [] for digit in (*BEFORE, *AFTER)}
    for shades, digit in zip(digits.images, digits.target, strict=True):
        found[int(digit)].append(Image.fromarray((shades * 255 / 16).round().astype(np.uint8)))
    return found


def write_pictures(pictures: dict[int, list[Image.Image]], folder: Path, *, seed: int) -> None:
    """Write `SPLIT/DIGIT/NUMBER.png`; the split of a picture is drawn."""
    rng = random.Random(seed)
    for digit, own in pictures.items():
        order = rng.sample(range(len(own)), len(own))
        first, second = SIZES["train"], SIZES["train"] + SIZES["validation"]
        parts = {"train": order[:first], "validation": order[first:second], "test": order[second:]}
        for split, numbers in parts.items():
            place = folder / split / str(digit)
            place.mkdir(parents=True, exist_ok=True)
            for number in numbers:
                own[number].save(place / f"{number:03d}.png")


def save_model(pictures: dict[int, list[Image.Image]], folder: Path, *, seed: int) -> float:
    """Train a ViT on pictures, and save it; its accuracy on them."""
    set_seed(seed)
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        image_size=SIDE,
        patch_size=PATCH,
        num_labels=len(pictures),
    )
    model, processor = ViTForImageClassification(config), ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    images = [image.convert("RGB") for own in pictures.values() for image in own]
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    labels = torch.tensor([i for i, own in enumerate(pictures.values()) for _ in own])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    model.train()
    for rows in batches(len(labels)):
        optimizer.zero_grad()
        model(pixels[rows], labels=labels[rows]).loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = model.eval()(pixels).logits.argmax(-1) == labels
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return float(right.float().mean())


def batches(count: int) -> Iterable[torch.Tensor]:
    """Rows of the batches of all epochs."""
    for _ in range(EPOCHS):
        yield from torch.randperm(count).split(BATCH)


if __name__ == "__main__":
    main()
