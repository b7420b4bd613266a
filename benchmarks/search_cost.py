"""Quality against cost: BIPEFT's test score for several lengths of the search, on four text tasks and three seeds.

The length is the share of the training's time that the search is planned for. Everything else is the same: data,
seeds, budget, rate, and the training. Runs are kept and not repeated, so that the script can be stopped and started;
the table is printed at the end.

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

COMMAND = [sys.executable, "-c", "import sys; from peftsearch.app.cli import main; sys.exit(main())"]
TASKS = ("trec", "cr", "mr", "subj")
RATE = 3e-3
EPOCHS = 2.0
# Name of a row -> settings of the method.
LENGTHS = {
    "1": {"epochs": EPOCHS},
    "0.5": {"epochs": 0.5 * EPOCHS},
    "0.25": {"epochs": 0.25 * EPOCHS},
    "0.125": {"epochs": 0.125 * EPOCHS},
}


def folder_of(arguments: argparse.Namespace, length: str, task: str, seed: int) -> Path:
    """Where a run is."""
    return Path(arguments.output) / length / task / f"seed-{seed}"


def run(arguments: argparse.Namespace, length: str, task: str, seed: int) -> None:
    """Search and train once, unless that was done."""
    folder = folder_of(arguments, length, task, seed)
    if (folder / "results.json").is_file():
        return
    data = arguments.data_dir / task
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
        **{f"method.{name}": value for name, value in LENGTHS[length].items()},
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    resume = ["--resume"] if folder.exists() else []
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // arguments.workers))}
    done = subprocess.run([*COMMAND, "search", *words, *resume], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{folder} failed:\n{done.stderr[-2000:]}")
    print(folder, flush=True)


def report(arguments: argparse.Namespace) -> None:
    """Print a row for each length."""
    tasks, seeds = arguments.tasks.split(","), range(arguments.seeds)
    print(f"| planned cost | steps | triggers | search / training | {' | '.join(tasks)} | mean |")
    print("|---" * (5 + len(tasks)) + "|")
    for length in arguments.lengths.split(","):
        runs = {t: [folder_of(arguments, length, t, seed) for seed in seeds] for t in tasks}
        results = {t: [json.loads((r / "results.json").read_text()) for r in rs] for t, rs in runs.items()}
        every = [result for found in results.values() for result in found]
        triggers = [last_row(r / "search" / "log.jsonl")["triggers"] for rs in runs.values() for r in rs]
        cost = median(result["search_cost"] for result in every)
        scores = {t: [result["test"]["value"] for result in found] for t, found in results.items()}
        columns = [f"{fmean(found):.1f} ± {stdev(found):.1f}" for found in scores.values()]
        steps = median(result["search_steps"] for result in every)
        mean = fmean(score for found in scores.values() for score in found)
        numbers = f"{length} | {steps:.0f} | {median(triggers):.0f} | {cost:.2f} | {' | '.join(columns)} | {mean:.2f}"
        print(f"| {numbers} |")


def last_row(log: Path) -> dict:
    """The last step of a search."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return next(row for row in reversed(rows) if "triggers" in row)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with TASK/{train,validation,test}.jsonl")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--lengths", default=",".join(LENGTHS), help=f"of {', '.join(LENGTHS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", default="0.1%")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, which share the cores")
    parser.add_argument("--output", type=Path, default=Path("runs/search_cost"))
    arguments = parser.parse_args()
    cells = product(range(arguments.seeds), arguments.tasks.split(","), arguments.lengths.split(","))
    with ThreadPoolExecutor(arguments.workers) as pool:
        for done in [pool.submit(run, arguments, length, task, seed) for seed, task, length in cells]:
            done.result()
    report(arguments)


if __name__ == "__main__":
    main()
