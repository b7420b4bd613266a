"""Where a search step spends its time beyond two plain passes: torch's operations, by the difference.

Steps before the first trigger, with every module live; plain passes as in `search_step.py`. The profiler slows both a
little, and Python's own time between operations is not in it.

    python benchmarks/profile_step.py --shapes minilm
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from search_step import WARM_UP, make_plain, plain_passes
from searches import make_search
from shapes import SHAPES, Shape, add_arguments, choose_device, name_of, training_settings
from torch.profiler import ProfilerActivity, profile

# Operation -> its own milliseconds, and how often it ran.
Times = dict[str, tuple[float, int]]


def profiled(run: Callable[[], Any], device: torch.device) -> tuple[Any, Times]:
    """What a function returns, and the operations in it."""
    is_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if is_gpu else ProfilerActivity.CPU]) as found:
        result = run()
    own = "self_device_time_total" if is_gpu else "self_cpu_time_total"
    return result, {event.key: (getattr(event, own) / 1000, event.count) for event in found.key_averages()}


def run(shape: Shape, arguments: argparse.Namespace, device: torch.device) -> list[tuple[Times, Times]]:
    """Operations of search steps, each with those of two plain passes after it."""
    plain, taken, warm_up = make_plain(shape, device), [], [None] * WARM_UP

    with make_search(
        shape,
        space=arguments.space,
        budget=arguments.budget,
        steps=WARM_UP + arguments.repeats,
        pace=set(),
        settings=training_settings(arguments, shape.batch),
    ) as (search, _):

        def time_step(step, inputs):
            if warm_up:
                warm_up.pop()
                return step()
            loss, of_search = profiled(step, device)
            batch = {name: tensor.to(device) for name, tensor in inputs.items()}
            taken.append((of_search, profiled(lambda: plain_passes(plain, batch, arguments, device), device)[1]))
            return loss

        search.time_step = time_step
        search.train()
    return taken


def report(name: str, taken: list[tuple[Times, Times]], rows: int) -> None:
    """Print the operations with the largest difference, then the sum of all."""

    def middle(key: str, part: int, field: int) -> float:
        return statistics.median(step[part].get(key, (0.0, 0))[field] for step in taken)

    keys = {key for step in taken for times in step for key in times}
    table = [(middle(key, 0, 0), middle(key, 1, 0), middle(key, 0, 1), middle(key, 1, 1), key) for key in keys]
    table.sort(key=lambda row: row[1] - row[0])
    for search, plain, calls, plain_calls, key in table[:rows]:
        numbers = f"{search - plain:+.1f} | {search:.1f} | {plain:.1f} | {calls:.0f} | {plain_calls:.0f}"
        print(f"| {name} | `{key}` | {numbers} |")
    search, plain = sum(row[0] for row in table), sum(row[1] for row in table)
    print(f"| {name} | all | {search - plain:+.1f} | {search:.1f} | {plain:.1f} | | |", flush=True)


def main() -> None:
    """Profile each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "minilm")
    parser.add_argument("--space", default="s2")
    parser.add_argument("--budget", default="0.1%")
    parser.add_argument("--repeats", type=int, default=9, help="steps that are profiled")
    parser.add_argument("--rows", type=int, default=8, help="operations to print")
    arguments = parser.parse_args()
    device = choose_device(arguments)
    print(f"{name_of(device)}, {arguments.dtype}, space {arguments.space}; milliseconds and calls a step")
    print("| model | operation | difference | search | plain | calls | plain calls |\n" + "|---" * 7 + "|")
    for name in arguments.shapes.split(","):
        report(name, run(SHAPES[name], arguments, device), arguments.rows)


if __name__ == "__main__":
    main()
