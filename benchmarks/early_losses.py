"""What early validation losses say about the end of a training, from the records of finished comparisons.

For each pair of methods of the same task, budget and seed, whose searches for a rate judged after S/8 and S/4 of the
steps: how often the loss then, and the loss that is expected after twice as many steps, name the one with the lower
validation loss at the end, and how much loss and test score the named one gives up on average. Then the difference to
uniform LoRA of the better one of two methods by these rules; with `--lanes` the tests of close lanes in races.

    python benchmarks/early_losses.py runs/five_2bp runs/five_10bp --methods pursuit,bipeft
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

from scipy.stats import ttest_rel, wilcoxon


@dataclass(frozen=True)
class Ended:
    """A finished run: its losses after S/8 and S/4 of the steps and at the end, and its test score."""

    eighth: float
    quarter: float
    end: float
    test: float


Key = tuple[str, int, int]
RULES: dict[str, Callable[[Ended], float]] = {
    "loss after S/8": lambda run: run.eighth,
    "loss after S/4": lambda run: run.quarter,
    # If the next doubling of the steps brings as much as the last one did.
    "loss expected after S/2": lambda run: run.quarter**2 / run.eighth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", type=Path, nargs="+", help="folders of `peftsearch compare`")
    parser.add_argument("--methods", default="pursuit,bipeft", help="comma-separated, as the comparisons name them")
    parser.add_argument("--lanes", action="store_true", help="print the tests of the two best lanes of each race")
    args = parser.parse_args()
    ended = {name: read(args.comparisons, name) for name in (*args.methods.split(","), "lora")}
    for one, other in combinations(args.methods.split(","), 2):
        print(f"{one} or {other}:")
        for rule, judge in RULES.items():
            print(f"  {rule}: {judged(ended[one], ended[other], ended['lora'], judge)}")
    if args.lanes:
        for folder in args.comparisons:
            for path in sorted(folder.glob("*/*/seed-*/search/lanes.jsonl")):
                print(f"{path.relative_to(folder).parts[:3]}: {tests_of(path)}")


def read(folders: list[Path], method: str) -> dict[Key, Ended]:
    """Runs of a method that found their rate, by task, budget in parameters, and seed."""
    found = {}
    for path in [path for folder in folders for path in sorted(folder.glob(f"*/{method}/seed-*/results.json"))]:
        results = json.loads(path.read_text())
        rounds = (results["rate_search"] or {"rounds": []})["rounds"]
        trained = path.parent / "training" / f"seed-{results['seed']}" / "trained.json"
        if len(rounds) < 2 or not trained.is_file():
            continue
        losses = [{float(rate): loss for rate, loss in end["losses"].items()} for end in rounds[:2]]
        if any(results["learning_rate"] not in each for each in losses):
            continue  # a training that started again at another rate
        eighth, quarter = (each[results["learning_rate"]] for each in losses)
        end = json.loads(trained.read_text())["validation_loss"]
        key = (results["task"], results["budget"]["parameters"], results["seed"])
        found[key] = Ended(eighth, quarter, end, results["test"]["value"])
    return found


def judged(one: dict[Key, Ended], other: dict[Key, Ended], lora: dict[Key, Ended], judge: Callable) -> str:
    """How well a rule chooses between two methods."""
    pairs = {key: sorted((one[key], other[key]), key=judge) for key in one.keys() & other.keys()}
    if not pairs:
        return "no pairs"
    right = fmean(chosen.end <= left.end for chosen, left in pairs.values())
    loss = fmean(max(0, chosen.end - left.end) for chosen, left in pairs.values())
    test = fmean(max(0, left.test - chosen.test) for chosen, left in pairs.values())
    gains = [chosen.test - lora[key].test for key, (chosen, _) in pairs.items() if key in lora]
    gain = f"{fmean(gains):+.2f} ({len(gains)})" if gains else "not measured"
    return (
        f"right in {right:.0%} of {len(pairs)}, gives up {loss:.4f} of loss and {test:.2f} points on average; "
        f"against uniform LoRA {gain}"
    )


def tests_of(path: Path) -> str:
    """The two lanes with the lowest mean losses a quarter through, and what two paired tests say about them."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    steps = sorted({row["step"] for row in rows})
    losses = {row["lane"]: row["losses"] for row in rows if row["step"] == steps[min(1, len(steps) - 1)]}
    best, second = sorted((lane for lane in losses if losses[lane]), key=lambda lane: fmean(losses[lane]))[:2]
    student = ttest_rel(losses[second], losses[best], alternative="greater").pvalue
    differences = [own - other for own, other in zip(losses[second], losses[best], strict=True)]
    ranks = wilcoxon(differences, alternative="greater").pvalue
    return (
        f"{best} {fmean(losses[best]):.3f}, {second} {fmean(losses[second]):.3f}: p {student:.3f} by Student's t, "
        f"{ranks:.3f} by Wilcoxon's ranks"
    )


if __name__ == "__main__":
    main()
