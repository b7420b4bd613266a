"""Peak memory of searches over that of peft's LoRA on all linear maps with the same batch, in fresh processes.

On a CPU the peak is that of the process's resident memory, interpreter and libraries included; on a GPU that of the
allocator. BIPEFT's search takes steps of both stages, then one trigger, and stands against LoRA r=8; pursuit takes one
stage over as many batches, and stands against LoRA of the rank of its sketch. LoRA takes as many optimizer steps.

    python benchmarks/memory.py
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from searches import make_search
from shapes import SHAPES, RandomTokens, Shape, TokenForm, add_arguments, choose_device, name_of, training_settings

from peftsearch.methods.pursuit.method import Pursuit
from peftsearch.methods.pursuit.settings import PursuitSettings
from peftsearch.models.discover import find_sites
from peftsearch.models.head import count_outside
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.searches.growing import draw_parts
from peftsearch.searches.growth import Gradients, Grown
from peftsearch.space import SPACES, Budget, Configuration, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.training.mean_gradients import MeanGradients
from peftsearch.training.task_loss import TaskLoss

STEPS = 8


def take_search(shape: Shape, arguments: argparse.Namespace) -> None:
    """A search in space s2."""
    settings = training_settings(arguments, shape.batch)
    with make_search(shape, space="s2", budget="0.1%", steps=STEPS, pace={STEPS - 2}, settings=settings) as (
        search,
        _,
    ):
        search.train()


class PursuitStage(NamedTuple):
    """The first stage of pursuit, ready to run."""

    method: Pursuit
    supernet: Supernet
    gradients: tuple[MeanGradients, MeanGradients]
    budget: int

    def run(self, gradients: tuple[Gradients, Gradients]) -> None:
        """Run it with these gradients: its own, or others around them."""
        self.method.grow(self.supernet, Grown(), gradients, budget=self.budget)


def make_pursuit(shape: Shape, arguments: argparse.Namespace, steps: int = STEPS) -> PursuitStage:
    """Pursuit in the space mixed, over so many batches."""
    torch.manual_seed(0)
    model = shape.make_model()
    sites = find_sites(model)
    settings = PursuitSettings()
    preset = replace(SPACES["mixed"], ranks=settings.candidate_ranks(SPACES["mixed"].ranks))
    space = SearchSpace.build(preset, sites=sites, cost=cost_at)
    budget = Budget.parse("0.1%").parameters(count_outside(model, shape.head))
    method = Pursuit(space, budgets=[budget], settings=settings, seed=0)
    candidates = method.candidates(Configuration())
    attached = attach(model, candidates, sites=sites, head=shape.head, task_type=shape.task_type)
    supernet = Supernet(attached, sites=sites, space=space.restricted_to(candidates))
    data, settings = RandomTokens(shape, shape.batch * steps), training_settings(arguments, shape.batch)
    loss = TaskLoss(attached.to(choose_device(arguments)), TokenForm(), data, settings)
    first, second = draw_parts(len(data), 0, 0)
    return PursuitStage(method, supernet, (MeanGradients(loss, first), MeanGradients(loss, second)), budget)


def take_pursuit(shape: Shape, arguments: argparse.Namespace) -> None:
    """One stage of pursuit."""
    stage = make_pursuit(shape, arguments)
    stage.run(stage.gradients)


def take_lora(shape: Shape, arguments: argparse.Namespace, rank: int) -> None:
    """A training of peft's LoRA by the same trainer."""
    from train_step import peft_lora

    from peftsearch.training.arguments import Phase
    from peftsearch.training.trainer import TaskTrainer

    with TemporaryDirectory() as folder:
        TaskTrainer(
            peft_lora(shape, rank),
            task_format=TokenForm(),
            train=RandomTokens(shape, shape.batch * STEPS),
            settings=training_settings(arguments, shape.batch),
            phase=Phase("lora", Path(folder), 0, STEPS),
        ).train()


RUNS = {
    "BIPEFT": take_search,
    "LoRA r=8": partial(take_lora, rank=8),
    "pursuit": take_pursuit,
    "LoRA r=16": partial(take_lora, rank=PursuitSettings().sketch),
}


def peak(device: torch.device) -> float:
    """GiB that this process has used at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def in_fresh_process(name: str, run: str) -> float:
    """Peak of one run of one shape."""
    words = [sys.executable, __file__, *sys.argv[1:], "--shapes", name, "--run", run]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Measure each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "minilm,t5,llama")
    parser.add_argument("--run", choices=list(RUNS), help="measure one run only, and print its peak")
    arguments = parser.parse_args()
    device = choose_device(arguments)
    if arguments.run:
        RUNS[arguments.run](SHAPES[arguments.shapes], arguments)
        print(json.dumps(peak(device)))
        return
    print(f"{name_of(device)}, {arguments.dtype}")
    print(f"| model | {', GiB | '.join(RUNS)}, GiB | BIPEFT's ratio | pursuit's |\n|---|---|---|---|---|---|---|")
    for name in arguments.shapes.split(","):
        peaks = [in_fresh_process(name, run) for run in RUNS]
        bipeft, of_8, pursuit, of_16 = peaks
        columns = " | ".join(f"{number:.2f}" for number in (*peaks, bipeft / of_8, pursuit / of_16))
        print(f"| {name}, {SHAPES[name].batch} x {SHAPES[name].tokens} | {columns} |", flush=True)


if __name__ == "__main__":
    main()
