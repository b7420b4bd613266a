"""Quality against cost: BIPEFT's test score for several lengths of the search, on four text tasks and three seeds.

The length is the share of the training's time that the search is planned for; uniform LoRA of the same budget stands
beside it. Everything else is the same: data, seeds, budget, rate, and the training. Runs are kept and not repeated, so
that the script can be stopped and started; the table is printed at the end.

    python benchmarks/search_cost.py --data_dir ../shared/data/text --workers 2
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import fmean, median, stdev

COMMAND = [sys.executable, "-c", "import sys; from peftsearch.cli.main import main; sys.exit(main())"]
TASKS = ("trec", "cr", "mr", "subj")
RATE = 3e-3
# With half as many, some trainings on TREC and MR hardly start, whatever was found.
EPOCHS = 4.0
# With the paper's settings, as the table of docs/performance.md was made.
BIPEFT = {"method": "bipeft", "method.preset": "paper"}
# Name of a row -> its command and settings.
ROWS = {
    "lora": ("train", {"configuration": "lora"}),
    **{str(cost): ("search", BIPEFT | {"method.cost": cost}) for cost in (1, 0.5, 0.25, 0.125)},
    "0.25-inherited": ("search", BIPEFT | {"method.cost": 0.25, "inherit": "true"}),
}


def folder_of(arguments: argparse.Namespace, row: str, task: str, seed: int) -> Path:
    """Where a run is."""
    return Path(arguments.output) / row / task / f"seed-{seed}"


def run(arguments: argparse.Namespace, row: str, task: str, seed: int) -> None:
    """Search and train once, unless that was done."""
    folder = folder_of(arguments, row, task, seed)
    if (folder / "results.json").is_file():
        return
    data, (command, own) = arguments.data_dir / task, ROWS[row]
    settings = {
        "model": "demo",
        "data": ",".join(str(data / f"{split}.jsonl") for split in ("train", "validation", "test")),
        "text": "text",
        "label": "label",
        "budget": arguments.budget,
        "max_train_samples": 1000,
        "seed": seed,
        "baseline": "false",
        "verify": "false",
        "training.learning_rate": RATE,
        "training.num_train_epochs": EPOCHS,
        "training.per_device_train_batch_size": 8,
        "output": folder,
        **own,
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    resume = ["--resume"] if folder.exists() else []
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // arguments.workers))}
    done = subprocess.run([*COMMAND, command, *words, *resume], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{folder} failed:\n{done.stderr[-2000:]}")
    print(folder, flush=True)


def report(arguments: argparse.Namespace) -> None:
    """Print the table."""
    tasks, seeds = arguments.tasks.split(","), range(arguments.seeds)
    print(f"| search | steps | triggers | search / training | {' | '.join(tasks)} | mean | over LoRA |")
    print("|---" * (6 + len(tasks)) + "|")
    scores: dict[str, list[float]] = {}
    for row in arguments.rows.split(","):
        folders = [folder_of(arguments, row, task, seed) for task in tasks for seed in seeds]
        results = [json.loads((folder / "results.json").read_text()) for folder in folders]
        found = scores[row] = [result["test"]["value"] for result in results]
        by_task = [found[i : i + len(seeds)] for i in range(0, len(found), len(seeds))]
        columns = [f"{fmean(of_task):.1f} ± {stdev(of_task):.1f}" for of_task in by_task]
        search = [median(result[name] or 0 for result in results) for name in ("search_steps", "search_cost")]
        triggers = median(count_triggers(folder) for folder in folders)
        over_lora = difference(found, scores["lora"]) if "lora" in scores else ""
        numbers = f"{search[0]:.0f} | {triggers:.0f} | {search[1]:.2f} | {' | '.join(columns)} | {fmean(found):.2f}"
        print(f"| {row} | {numbers} | {over_lora} |")


def difference(found: list[float], others: list[float]) -> str:
    """Mean of the paired differences and its standard error."""
    pairs = [a - b for a, b in zip(found, others, strict=True)]
    return f"{fmean(pairs):+.2f} ± {stdev(pairs) / len(pairs) ** 0.5:.2f}"


def count_triggers(folder: Path) -> int:
    """How often a search triggered; zero where nothing was searched."""
    log = folder / "search" / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    return next((row["triggers"] for row in reversed(rows) if "triggers" in row), 0)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with TASK/{train,validation,test}.jsonl")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="0.1%")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--output", type=Path, default=Path("runs/search_cost"))
    arguments = parser.parse_args()
    cells = product(range(arguments.seeds), arguments.tasks.split(","), arguments.rows.split(","))
    with ThreadPoolExecutor(arguments.workers) as pool:
        for done in [pool.submit(run, arguments, row, task, seed) for seed, task, row in cells]:
            done.result()
    report(arguments)


if __name__ == "__main__":
    main()
