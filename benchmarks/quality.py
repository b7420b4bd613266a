"""Test scores of BIPEFT, uniform LoRA, BitFit, the head alone and full fine-tuning on short real sentences.

Every method gets its learning rate from the same grid, on the validation split with the first seed. Runs are kept in
the output folder and not repeated, so that the script can be stopped and started; the table is printed at the end.

    python benchmarks/quality.py --data_dir ../shared/data/text --tasks trec --budgets 2bp,10bp,50bp --seeds 3
"""

import argparse
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

import transformers

from peftsearch.methods.manual.method import baseline_lora
from peftsearch.models.discover import find_sites
from peftsearch.models.load import sketch_model
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import make_config
from peftsearch.run.pipeline import run_search, run_train
from peftsearch.space import Budget

WITHOUT_BUDGET = ("bitfit", "head", "full")
WITH_BUDGET = ("bipeft", "lora")


def cells(args: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """(task, method, budget) of every row of the table."""
    for task in args.tasks.split(","):
        for budget in filter(None, args.budgets.split(",")):
            for method in WITH_BUDGET:
                yield task, method, budget
        for method in args.others.split(",") if args.others else ():
            yield task, method, ""


def run_cell(args: argparse.Namespace, task: str, method: str, budget: str) -> list[dict]:
    """Results of every seed; the first seed chooses the learning rate."""
    results: list[dict] = []
    for seed in range(args.seeds):
        folder = Path(args.output) / task / (f"{method}-{budget}" if budget else method) / f"seed-{seed}"
        if not (folder / "results.json").exists():
            rate = results[0]["learning_rate"] if results else None
            _run(args, folder, task=task, method=method, budget=budget, seed=seed, rate=rate)
        results.append(read_json(folder / "results.json"))
        print(json.dumps(_row(results[-1])), flush=True)
    return results


def _run(
    args: argparse.Namespace, folder: Path, *, task: str, method: str, budget: str, seed: int, rate: float | None
) -> None:
    files = ",".join(str(Path(args.data_dir) / task / f"{split}.jsonl") for split in ("train", "validation", "test"))
    settings = {
        "model": args.model,
        "data": files,
        "text": "text",
        "label": "label",
        "budget": budget,
        "output": str(folder),
        "overwrite": (folder / "config.yaml").exists(),
        "seed": seed,
        "max_train_samples": args.max_train_samples,
        "baseline": False,
        # The search runs at the middle of the grid.
        "training": {"num_train_epochs": args.epochs, "learning_rate": rate or sorted(_rates(args))[1]},
        "learning_rate_grid": args.rates if rate is None else str(rate),
    }
    if method == "bipeft":
        run_search(make_config(settings | {"method": {"name": "bipeft", "preset": "paper", "cost": 1.0}}))
        return
    if method == "lora":
        settings["configuration"] = _write_uniform_lora(args, folder.parent / "uniform.json", budget)
    else:
        settings["configuration"] = method
    run_train(make_config(settings))


def _rates(args: argparse.Namespace) -> list[float]:
    return [float(rate) for rate in args.rates.split(",")]


def _write_uniform_lora(args: argparse.Namespace, path: Path, budget: str) -> str:
    sketch = sketch_model(args.model)
    parameters = Budget.parse(budget).parameters(sketch.backbone_parameters)
    path.parent.mkdir(parents=True, exist_ok=True)
    baseline_lora(find_sites(sketch.model), parameters).save(path)
    return str(path)


def _row(results: dict) -> dict:
    names = ("task", "method", "seed", "parameters", "learning_rate", "modules_by_kind", "search_cost")
    row = {name: results[name] for name in names}
    return row | {split: round(results[split]["value"], 2) for split in ("validation", "test")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True, help="folder with TASK/{train,validation,test}.jsonl")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--tasks", default="trec,cr,mr,subj")
    parser.add_argument("--budgets", default="2bp,10bp,50bp")
    parser.add_argument("--others", default=",".join(WITHOUT_BUDGET))
    parser.add_argument("--rates", default="1e-3,3e-3,1e-2")
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max_train_samples", type=int, default=1500)
    parser.add_argument("--output", default="runs/quality")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error()
    rows = [(task, method, budget, run_cell(args, task, method, budget)) for task, method, budget in cells(args)]
    print("| task | method | budget | parameters | rate | validation | test | search / train |")
    print("|---|---|---|---|---|---|---|---|")
    for task, method, budget, results in rows:
        scores = [_mean_and_deviation(results, split) for split in ("validation", "test")]
        costs = [r["search_cost"] for r in results if r["search_cost"] is not None]
        cost = f"{fmean(costs):.2f}" if costs else ""
        size = f"{max(r['parameters'] for r in results):,}"
        columns = [task, method, budget, size, f"{results[0]['learning_rate']:g}", *scores, cost]
        print(f"| {' | '.join(columns)} |")


def _mean_and_deviation(results: list[dict], split: str) -> str:
    values = [r[split]["value"] for r in results]
    return f"{fmean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


if __name__ == "__main__":
    main()
