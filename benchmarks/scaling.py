"""How a search step grows with layers, width, ranks and number of kinds, over two plain passes of the same model.

Each row changes one thing of the first. Steps are measured before the first trigger, when every module is live; the
memory is the peak of a process of its own.

    python benchmarks/scaling.py
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace

from memory import peak
from search_step import WARM_UP, run
from shapes import SHAPES, bert, choose_device, name_of

from peftsearch.space import SPACES, register_space


@dataclass(frozen=True)
class Case:
    """One search: an encoder's sizes and a space."""

    layers: int = 4
    width: int = 256
    space: str = "s2"
    largest_rank: int = 8


CASES = [
    Case(),
    *(Case(layers=n) for n in (2, 8, 16)),
    *(Case(width=n) for n in (128, 512, 1024)),
    *(Case(largest_rank=n) for n in (1, 32, 64)),
    *(Case(space=name) for name in ("s3delta_l", "s1", "all")),
]


def measure(case: Case, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds, ratio, modules and memory of one case, here."""
    device = choose_device(arguments)
    preset = replace(SPACES[case.space], name="measured", ranks=tuple(sorted({1, case.largest_rank})))
    register_space(preset)
    shape = replace(SHAPES["minilm"], config=lambda: bert(case.layers, case.width), batch=16)
    arguments.space = "measured"
    steps = run(shape, arguments, device)[: arguments.repeats]
    search = statistics.median(step.search for step in steps)
    plain = statistics.median(step.plain for step in steps)
    return {"search": search, "ratio": search / plain, "live": steps[0].live, "peak": peak(device)}


def main() -> None:
    """Measure each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--case", type=int, help="measure one case only, and print what it gave as JSON")
    arguments = parser.parse_args()
    arguments.budget, arguments.triggers = "0.1%", 0
    if arguments.case is not None:
        print(json.dumps(measure(CASES[arguments.case], arguments)))
        return
    print(f"{name_of(choose_device(arguments))}, {arguments.dtype}, 16 x 64 tokens, {WARM_UP} steps before the first")
    print("| layers | width | space | largest rank | modules | step, s | ratio | peak, GiB |\n" + "|---" * 8 + "|")
    for number, case in enumerate(CASES):
        words = [sys.executable, __file__, *sys.argv[1:], "--case", str(number)]
        output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        found = json.loads(output.splitlines()[-1])
        numbers = f"{found['live']} | {found['search']:.3f} | {found['ratio']:.2f} | {found['peak']:.2f}"
        row = f"| {case.layers} | {case.width} | {case.space} | {case.largest_rank} | {numbers} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
