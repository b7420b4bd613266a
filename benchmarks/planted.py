"""Find modules that were planted: the share of a teacher's modules that each search method chooses.

A teacher is the demo model with a few modules switched on at random places, each so strong that without it alone more
than an eighth of the labels change. Students get the model without them, real texts with the teacher's labels, and the
modules' parameters as their budget. Random draws and the best that can be had (1) are the marks to compare with.

    python benchmarks/planted.py --data_dir ../shared/data/more/hwu64 --seeds 10
"""

import argparse
import csv
import json
import math
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import nn

from peftsearch.models.discover import find_sites
from peftsearch.models.load import load_model, load_tokenizer
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config
from peftsearch.run.search import search_configuration
from peftsearch.run.search_request import SearchRequest
from peftsearch.space import SPACES, Choice, Configuration, Placement, SearchSpace
from peftsearch.supernet.supernet import Supernet

MODEL, SPACE = "demo", "mixed"
NUM_PLANTED, NUM_CLASSES = 6, 6
SIZES = {"train": 1600, "validation": 300, "test": 50}
# Labels that change without a planted module: at least, and at most while others are too weak.
CHANGED = 1 / 8
# Passes over the texts that strengthen the modules.
ROUNDS = 30
ROWS = {
    "random": {"name": "random"},
    "bipeft": {"name": "bipeft"},
    "bipeft, paper": {"name": "bipeft", "preset": "paper"},
    "s3delta": {"name": "s3delta"},
    "prunepeft": {"name": "prunepeft"},
    "pursuit": {"name": "pursuit"},
    "pursuit, 4 stages": {"name": "pursuit", "stages": 4},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with a train.jsonl that has texts")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", default="; ".join(ROWS), help="names of rows, separated by semicolons")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with (args.data_dir / "train.jsonl").open(encoding="utf-8") as lines:
        texts = sorted({json.loads(line)["text"] for line in lines})
    rows = {name.strip(): ROWS[name.strip()] for name in args.rows.split(";")}
    found: dict[str, list[float]] = {name: [] for name in rows}
    seconds: dict[str, float] = dict.fromkeys(rows, 0.0)
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            planted = plant(Path(folder), texts, seed)
            for name, method in rows.items():
                started = time.perf_counter()
                found[name].append(share_found(Path(folder), planted, method, seed))
                seconds[name] += time.perf_counter() - started
        shares = ", ".join(f"{name} {of_method[-1]:.2f}" for name, of_method in found.items())
        print(f"seed {seed}: {shares}", flush=True)
    print("| method | share found, mean ± standard error | seconds a search |\n|---|---|---|")
    for name, shares in found.items():
        error = stdev(shares) / math.sqrt(len(shares)) if len(shares) > 1 else math.nan
        print(f"| {name} | {fmean(shares):.2f} ± {error:.2f} | {seconds[name] / len(shares):.0f} |")


def plant(folder: Path, texts: list[str], seed: int) -> Configuration:
    """Write texts that a teacher with planted modules has labelled; return the planted modules."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    texts = rng.sample(texts, sum(SIZES.values()))
    # The student draws a head of its own.
    model = load_model(MODEL, num_labels=NUM_CLASSES, seed=1000 + seed).model.eval()
    tokens = dict(load_tokenizer(MODEL)(texts, return_tensors="pt", padding=True, truncation=True, max_length=32))
    sites = find_sites(model)
    space = SearchSpace.build(SPACES[SPACE], sites=sites, cost=cost_at)
    chosen = Configuration.of(Choice(p.site, p.kind, 1) for p in rng.sample(sorted(space.ranks), NUM_PLANTED))
    teacher = Supernet(attach(model, chosen, sites=sites), sites=sites, space=space.restricted_to(chosen))
    labels = switch_on(teacher, tokens)
    names = [name for name, size in SIZES.items() for _ in range(size)]
    for split in SIZES:
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            rows = zip(names, texts, labels.tolist(), strict=True)
            writer.writerows([text, f"class {label}"] for name, text, label in rows if name == split)
    return chosen


@torch.no_grad()
def switch_on(teacher: Supernet, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
    """Strengthen each planted module until labels change without it; return the labels with all of them."""
    for placement in teacher.live:
        for parameter in teacher.module(placement).parameters():
            nn.init.normal_(parameter, std=0.1)
    some = {name: tensor[:200] for name, tensor in tokens.items()}
    changed: dict[Placement, float] = {}
    for _ in range(ROUNDS):
        labels = labels_of(teacher, some, {})
        changed = {p: float((labels_of(teacher, some, {p: None}) != labels).float().mean()) for p in teacher.live}
        weak = [placement for placement, share in changed.items() if share < CHANGED]
        if not weak:
            break
        for placement in weak:
            for parameter in teacher.module(placement).parameters():
                parameter.mul_(1.4)
    print("labels that change without each:", ", ".join(f"{share:.2f}" for share in changed.values()), flush=True)
    return labels_of(teacher, tokens, {})


def labels_of(teacher: Supernet, tokens: dict[str, torch.Tensor], gates: dict[Placement, None]) -> torch.Tensor:
    """The classes that the teacher gives, each for as many texts as any other would get by its mean logit."""
    with teacher.gated(gates):
        parts = zip(*(tensor.split(100) for tensor in tokens.values()), strict=True)
        logits = torch.cat([teacher.model(**dict(zip(tokens, part, strict=True))).logits for part in parts])
    return ((logits - logits.mean(0)) / logits.std(0)).argmax(-1)


def share_found(folder: Path, planted: Configuration, method: dict, seed: int) -> float:
    """Search within the planted modules' parameters; return the share of them that the configuration has."""
    output = Path(tempfile.mkdtemp(dir=folder))
    config = make_config(
        {
            "model": MODEL,
            "data": ",".join(str(folder / f"{split}.csv") for split in SIZES),
            "text": "text",
            "label": "label",
            "space": SPACE,
            "budget": "1%",
            "method": method,
            "output": str(output),
            "seed": seed,
            "training": {"num_train_epochs": 4, "per_device_train_batch_size": 16, "max_seq_length": 32},
        }
    )
    budget = Experiment.open(config).space.cost(planted)
    experiment = Experiment.open(replace(config, budget=str(budget)))
    request = SearchRequest(config.method_name, config.method)
    found = search_configuration(experiment, request, output).configuration
    placements = {choice.placement for choice in found}
    return fmean(choice.placement in placements for choice in planted)


if __name__ == "__main__":
    main()
