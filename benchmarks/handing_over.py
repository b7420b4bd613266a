"""What runs would hand over, chosen by the validation score or by the validation loss, from finished comparisons.

Every pair of a method and uniform LoRA on the same task, budget and seed: the difference of their test scores if the
searched configuration is taken, or the one with the better validation score, or with the lower validation loss, or
always the one with the better test score. Then how much the loss is better than the score, with half of its 95%
interval.

    python benchmarks/handing_over.py runs/five_2bp runs/five_10bp
"""

import argparse
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from peftsearch.report.interval import half_width

REFERENCE = "lora"


@dataclass(frozen=True)
class Run:
    """Scores of a finished run, and its mean validation loss."""

    validation: float
    loss: float
    test: float


@dataclass(frozen=True)
class Pair:
    """A run of a method and one of uniform LoRA."""

    own: Run
    other: Run

    @property
    def gains(self) -> tuple[float, float, float, float]:
        """The difference as it is, by score, by loss, and at best."""
        gain = self.own.test - self.other.test
        by_score = gain if self.own.validation >= self.other.validation else 0.0
        by_loss = gain if self.own.loss <= self.other.loss else 0.0
        return gain, by_score, by_loss, max(gain, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", type=Path, nargs="+", help="folders of `peftsearch compare`")
    args = parser.parse_args()
    pairs: dict[str, list[Pair]] = defaultdict(list)
    for folder in args.comparisons:
        for path in sorted(folder.glob("*/*/seed-*/results.json")):
            task, method, seed = path.parts[-4:-1]
            own, other = read(path), read(folder / task / REFERENCE / seed / "results.json")
            if method != REFERENCE and own and other:
                pairs[method].append(Pair(own, other))
    print("method: pairs, searched, by score, by loss, at best")
    for method, found in sorted(pairs.items()):
        print(f"{method}: {describe(found)}")
    everything = [pair for found in pairs.values() for pair in found]
    print(f"all: {describe(everything)}")
    differences = [pair.gains[2] - pair.gains[1] for pair in everything]
    margin = half_width(differences) if len(differences) > 1 else math.nan
    differing = f"{sum(map(bool, differences))} of {len(differences)}"
    print(f"loss against score: {fmean(differences):+.3f} ± {margin:.3f}, other choices in {differing}")


def describe(pairs: list[Pair]) -> str:
    """The means of each way to choose."""
    return ", ".join(
        [str(len(pairs)), *(f"{fmean(each):+.2f}" for each in zip(*(p.gains for p in pairs), strict=True))]
    )


def read(path: Path) -> Run | None:
    """A run; None where it is not finished or has no loss."""
    trained = sorted(path.parent.glob("training/seed-*/trained.json"))
    if not path.is_file() or not trained:
        return None
    results, losses = json.loads(path.read_text()), [json.loads(each.read_text()) for each in trained]
    known = [each["validation_loss"] for each in losses if each.get("validation_loss") is not None]
    if not known or results["metric"] == "loss":
        return None
    return Run(results["validation"]["value"], fmean(known), results["test"]["value"])


if __name__ == "__main__":
    main()
