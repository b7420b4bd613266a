"""Paired differences between methods over many comparisons, such as those of one seed each, as a Markdown table.

One row a task, budget and seed; then for each two methods the mean difference of their test scores over the rows that
have both, within each budget and over all, with half of its 95% interval. The second mean is over the means of the
tasks: rows of one task are not independent.

    python benchmarks/pairs.py runs/now_*
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

from peftsearch.report.interval import half_width

# (budget, task, seed) -> method -> results of the run.
Rows = dict[tuple[str, str, int], dict[str, dict]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", type=Path, nargs="+", help="folders of `peftsearch compare`")
    rows = read(parser.parse_args().comparisons)
    methods = sorted({method for row in rows.values() for method in row})
    print(f"| budget, task, seed | {' | '.join(methods)} |")
    print(f"|---|{'---|' * len(methods)}")
    for (budget, task, seed), row in sorted(rows.items()):
        print(f"| {budget}, {task}, {seed} | {' | '.join(cell(row.get(method)) for method in methods)} |")
    for first, second in combinations(reversed(methods), 2):
        for budget in [*sorted({key[0] for key in rows}), ""]:
            found: dict[str, list[float]] = defaultdict(list)
            for (of, task, _), row in rows.items():
                if budget in ("", of) and first in row and second in row:
                    found[task].append(row[first]["test"]["value"] - row[second]["test"]["value"])
            if found:
                by_pair, by_task = [gain for gains in found.values() for gain in gains], map(fmean, found.values())
                where = budget or "all"
                print(f"{first} - {second}, {where}: {described(by_pair)} pairs, {described(list(by_task))} tasks")


def read(folders: Sequence[Path]) -> Rows:
    """The finished runs below some folders."""
    rows: Rows = defaultdict(dict)
    for folder in folders:
        for path in sorted(folder.glob("*/*/seed-*/results.json")):
            task, method, seed = path.parts[-4:-1]
            results = json.loads(path.read_text())
            trained = [json.loads(each.read_text()) for each in path.parent.glob("training/seed-*/trained.json")]
            losses = [each["validation_loss"] for each in trained if each.get("validation_loss") is not None]
            results["validation_loss"] = fmean(losses) if losses else None
            rows[results["budget"]["requested"], task, int(seed.removeprefix("seed-"))][method] = results
    return rows


def cell(results: dict | None) -> str:
    """Test score, validation loss, rate, and what the search took in trainings."""
    if results is None:
        return "-"
    loss, cost = results["validation_loss"], results.get("search_cost")
    took = "" if cost is None else f", cost {cost:.1f}"
    shown = "" if loss is None else f" ({loss:.3f})"
    return f"{results['test']['value']:.1f}{shown}, {results['learning_rate']:g}{took}"


def described(differences: list[float]) -> str:
    """Their mean with half of its 95% interval, and their number."""
    margin = f" ± {half_width(differences):.2f}" if len(differences) > 1 else ""
    return f"{fmean(differences):+.2f}{margin} over {len(differences)}"


if __name__ == "__main__":
    main()
