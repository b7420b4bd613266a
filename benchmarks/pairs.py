"""Paired differences between methods over many comparisons, such as those of one seed each, as a Markdown table.

One row a task, budget and seed; then for each two methods the mean difference of their test scores over the rows that
have both, within each budget and over all, with half of its 95% interval. The second mean is over the means of the
tasks: rows of one task are not independent. `benchmarks/rows/` holds rows of comparisons that ran on other days.

    python benchmarks/pairs.py benchmarks/rows/race.csv runs/late/* --csv runs/all.csv
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from statistics import fmean

from peftsearch.report.interval import half_width


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        budget: as the user wrote it; "none" without one, as full fine-tuning.
        task: name.
        seed: of the run.
        method: name.
        test: score, in percent.
        loss: mean on the validation split at the end.
        rate: learning rate.
        cost: of the search, in trainings by the clock; None for a method without one.
    """

    budget: str
    task: str
    seed: int
    method: str
    test: float
    loss: float | None
    rate: float
    cost: float | None


# (budget, task, seed) -> method -> run.
Rows = dict[tuple[str, str, int], dict[str, Run]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sources", type=Path, nargs="+", help="folders of `peftsearch compare`, and .csv files of rows"
    )
    parser.add_argument("--csv", type=Path, help="file to write the rows to, for the next time")
    args = parser.parse_args()
    runs = [run for source in args.sources for run in read(source)]
    if args.csv:
        write(args.csv, runs)
    rows: Rows = defaultdict(dict)
    for run in runs:
        rows[run.budget, run.task, run.seed][run.method] = run
    methods = sorted({run.method for run in runs})
    print(f"| budget, task, seed | {' | '.join(methods)} |")
    print(f"|---|{'---|' * len(methods)}")
    for (budget, task, seed), row in sorted(rows.items()):
        print(f"| {budget}, {task}, {seed} | {' | '.join(cell(row.get(method)) for method in methods)} |")
    for first, second in combinations(reversed(methods), 2):
        for budget in [*sorted({run.budget for run in runs}), ""]:
            found: dict[str, list[float]] = defaultdict(list)
            for (of, task, _), row in rows.items():
                if budget in ("", of) and first in row and second in row:
                    found[task].append(row[first].test - row[second].test)
            if found:
                by_pair, by_task = [gain for gains in found.values() for gain in gains], map(fmean, found.values())
                where = budget or "all"
                print(f"{first} - {second}, {where}: {described(by_pair)} pairs, {described(list(by_task))} tasks")


def read(source: Path) -> Iterable[Run]:
    """The rows of a file, or the finished runs of a comparison."""
    if source.suffix == ".csv":
        with source.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                numbers = {name: float(row[name]) if row[name] else None for name in ("test", "loss", "rate", "cost")}
                yield Run(**row | {"seed": int(row["seed"])} | numbers)
        return
    for path in sorted(source.glob("*/*/seed-*/results.json")):
        task, method, seed = path.parts[-4:-1]
        results = json.loads(path.read_text())
        trained = [json.loads(each.read_text()) for each in path.parent.glob("training/seed-*/trained.json")]
        losses = [each["validation_loss"] for each in trained if each.get("validation_loss") is not None]
        yield Run(
            budget=results["budget"]["requested"] if results["budget"] else "none",
            task=task,
            seed=int(seed.removeprefix("seed-")),
            method=method,
            test=results["test"]["value"],
            loss=fmean(losses) if losses else None,
            rate=results["learning_rate"],
            cost=results.get("search_cost"),
        )


def write(path: Path, runs: Sequence[Run]) -> None:
    """Write rows that `read` reads, in order, the last of each run."""
    latest = {(run.budget, run.task, run.seed, run.method): run for run in runs}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Run)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(latest[key]) for key in sorted(latest))


def cell(run: Run | None) -> str:
    """Test score, validation loss, rate, and what the search took in trainings."""
    if run is None:
        return "-"
    took = "" if run.cost is None else f", cost {run.cost:.1f}"
    shown = "" if run.loss is None else f" ({run.loss:.3f})"
    return f"{run.test:.1f}{shown}, {run.rate:g}{took}"


def described(differences: list[float]) -> str:
    """Their mean with half of its 95% interval, and their number."""
    margin = f" ± {half_width(differences):.2f}" if len(differences) > 1 else ""
    return f"{fmean(differences):+.2f}{margin} over {len(differences)}"


if __name__ == "__main__":
    main()
