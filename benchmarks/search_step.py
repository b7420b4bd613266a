"""Time of one BIPEFT search step over two plain forward+backward passes of the frozen backbone with the same batch.

The plain passes train the norms' weights, so that their backward reaches the bottom of the model. Plain passes and
search steps alternate in one process, and medians are compared, since machines differ and drift. A step is measured
before the first trigger, after half of them and after the last; the slowest is looked for among those that prune too.

    python benchmarks/search_step.py --repeats 9
"""

import argparse
import statistics
from dataclasses import dataclass

import torch
from searches import make_search
from shapes import SHAPES, Shape, add_arguments, autocast, choose_device, name_of, now, training_settings

from peftsearch.models.discover import find_sites

# Steps before the first that counts: allocators, threads and the first architecture steps.
WARM_UP = 5


@dataclass(frozen=True)
class Step:
    """Times of a step and of two plain passes with its batch, in seconds."""

    search: float
    plain: float
    live: int
    prunes: bool


def make_plain(shape: Shape, device: torch.device) -> torch.nn.Module:
    """The backbone with nothing but its norms' weights trainable."""
    model = shape.make_model()
    norms = {site.path for site in find_sites(model) if site.role.is_norm}
    for path, parameter in model.named_parameters():
        parameter.requires_grad = path.rpartition(".")[0] in norms
    return model.to(device).train()


def plain_passes(plain: torch.nn.Module, batch: dict, arguments: argparse.Namespace, device: torch.device) -> None:
    """Two forward and backward passes of the backbone."""
    for _ in range(2):
        with autocast(arguments, device):
            loss = plain(**batch).loss
        loss.backward()
    plain.zero_grad()


def run(shape: Shape, arguments: argparse.Namespace, device: torch.device) -> list[Step]:
    """Take every step of a search, two plain passes after each."""
    plain, repeats, half = make_plain(shape, device), arguments.repeats, arguments.triggers // 2
    pace = set(range(WARM_UP + repeats, WARM_UP + repeats + half))
    pace |= {step + half + repeats for step in pace}
    taken: list[Step] = []

    with make_search(
        shape,
        space=arguments.space,
        budget=arguments.budget,
        steps=WARM_UP + 3 * repeats + 2 * half,
        pace=pace,
        settings=training_settings(arguments, shape.batch),
    ) as (trainer, strategy):

        def time_step(step, inputs):
            started = now(device)
            loss = step()
            seconds = now(device) - started
            batch = {name: tensor.to(device) for name, tensor in inputs.items()}
            prunes, started = len(taken) in strategy.pace, now(device)
            plain_passes(plain, batch, arguments, device)
            taken.append(Step(seconds, now(device) - started, len(trainer.search.supernet.live), prunes))
            return loss

        trainer.time_step = time_step
        trainer.train()
    return taken[WARM_UP:]


def report(name: str, shape: Shape, steps: list[Step], repeats: int) -> None:
    """Print a row for each part of a search."""
    quiet = [step for step in steps if not step.prunes]
    parts = {"0%": quiet[:repeats], "50%": quiet[repeats : 2 * repeats], "100%": quiet[2 * repeats :]}
    for part, rows in parts.items():
        search, plain = statistics.median(s.search for s in rows), statistics.median(s.plain for s in rows)
        sizes = f"{shape.batch} x {shape.tokens}"
        print(f"| {name}, {sizes} | {part} | {rows[-1].live} | {search:.3f} | {plain:.3f} | {search / plain:.2f} |")
    # Over the plain passes beside it, so that a hiccup of the machine does not count twice.
    ratios = [step.search / step.plain for step in steps]
    slowest = max(ratios) / statistics.median(ratios)
    pruning = statistics.median(s.search / s.plain for s in steps if s.prunes) / statistics.median(ratios)
    print(f"{name}: slowest step {slowest:.2f}, median pruning step {pruning:.2f} of the median step", flush=True)


def main() -> None:
    """Measure each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "minilm,t5,llama")
    parser.add_argument("--space", default="s2")
    parser.add_argument("--budget", default="0.1%")
    parser.add_argument("--repeats", type=int, default=9, help="steps measured at each of the three moments")
    parser.add_argument("--triggers", type=int, default=6, help="half of them before the second moment")
    arguments = parser.parse_args()
    device = choose_device(arguments)
    print(f"{name_of(device)}, {arguments.dtype}, space {arguments.space}")
    print("| model | triggers | modules | search step, s | two plain passes, s | ratio |\n|---|---|---|---|---|---|")
    for name in arguments.shapes.split(","):
        report(name, SHAPES[name], run(SHAPES[name], arguments, device), arguments.repeats)


if __name__ == "__main__":
    main()
