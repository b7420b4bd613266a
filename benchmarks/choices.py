"""Compare what searches choose for the same task with other seeds, and for other tasks: no training, only searches.

A selection that says something about the task has a larger overlap between seeds than between tasks; one that is noise
has that of random draws in both. The overlap of two configurations is that of their modules (Jaccard: shared ones over
all), the mean over pairs. Rows and tasks are those of a file for `peftsearch compare`; searches are kept and not done
again. Tasks as in starts_before.yaml.

    python benchmarks/choices.py --config benchmarks/choices.yaml --output runs/choices
    python benchmarks/choices.py --config benchmarks/choices.yaml --rows pursuit --head_share 1 --output runs/choices_1
"""

import argparse
import logging
import time
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from statistics import fmean

import torch
import yaml

from peftsearch.comparison.config import CompareConfig, make_compare_config
from peftsearch.comparison.runs import ComparedRun, make_groups, make_run_config
from peftsearch.run.experiment import Experiment
from peftsearch.run.search import search_configuration
from peftsearch.run.search_request import SearchRequest
from peftsearch.space import Configuration
from peftsearch.training import head_probe

# Task and seed -> what was chosen.
Choices = Mapping[tuple[str, int], Configuration]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="rows and tasks, as for `peftsearch compare`")
    parser.add_argument("--rows", default="", help="comma-separated; empty for all")
    parser.add_argument("--budget", default="", help="instead of the file's")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--head_share", type=float, default=head_probe.SHARE, help="of the way of the probed head")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    head_probe.SHARE = args.head_share
    settings = yaml.safe_load(args.config.read_text(encoding="utf-8")) | {"seeds": args.seeds}
    settings |= {"output": str(args.output)} | ({"budget": args.budget} if args.budget else {})
    config = make_compare_config(settings)
    rows = args.rows.split(",") if args.rows else [name for name in config.methods.names if name != "lora"]
    print("| search | seeds | tasks | most frequent kinds | seconds |\n|---|---|---|---|---|", flush=True)
    for row in rows:
        groups = [group for group in make_groups(config) if group.runs[0].method == row]
        started = time.perf_counter()
        found = {(run.task.name, run.seed): choose(config, run) for group in groups for run in group.runs}
        seconds = time.perf_counter() - started
        print(f"| {row} | {describe_overlap(found)} | {describe_kinds(found.values())} | {seconds:.0f} |", flush=True)


def choose(config: CompareConfig, run: ComparedRun) -> Configuration:
    """Search as the comparison would, or read what a search before this one chose."""
    settings = make_run_config(config, run)
    request = SearchRequest(settings.method_name, settings.method)
    return search_configuration(Experiment.open(settings), request, run.folder).configuration


def describe_overlap(found: Choices) -> str:
    """Mean overlap between seeds of one task, and between tasks with one seed."""
    between_seeds = [(a, b) for a, b in combinations(found, 2) if a[0] == b[0]]
    between_tasks = [(a, b) for a, b in combinations(found, 2) if a[0] != b[0] and a[1] == b[1]]
    return " | ".join(
        f"{fmean(overlap(found[a], found[b]) for a, b in pairs):.2f}" if pairs else "-"
        for pairs in (between_seeds, between_tasks)
    )


def overlap(first: Configuration, second: Configuration) -> float:
    """Shared modules over all modules of two configurations."""
    own, others = ({choice.placement for choice in configuration} for configuration in (first, second))
    return len(own & others) / len(own | others)


def describe_kinds(configurations: Iterable[Configuration]) -> str:
    """Mean number of modules of each kind, the most frequent first."""
    counts: dict[str, list[int]] = {}
    total = 0
    for configuration in configurations:
        total += 1
        for choice in configuration:
            counts.setdefault(choice.kind, []).append(choice.rank)
    ordered = sorted(counts.items(), key=lambda item: -len(item[1]))
    return ", ".join(f"{kind} {len(ranks) / total:.1f} (rank {fmean(ranks):.1f})" for kind, ranks in ordered)


if __name__ == "__main__":
    main()
