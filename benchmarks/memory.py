"""Peak memory of a search over that of peft's LoRA r=8 on all linear maps with the same batch, in fresh processes.

On a CPU the peak is that of the process's resident memory, interpreter and libraries included; on a GPU that of the
allocator. The search takes steps of both stages, then one trigger; LoRA takes as many optimizer steps.

    python benchmarks/memory.py
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from searches import make_search
from shapes import SHAPES, RandomTokens, Shape, TokenForm, add_arguments, choose_device, name_of, training_settings

STEPS = 8


def take_search(shape: Shape, arguments: argparse.Namespace) -> None:
    """A search in space s2."""
    settings = training_settings(arguments, shape.batch)
    with make_search(shape, space="s2", budget="0.1%", steps=STEPS, pace={STEPS - 2}, settings=settings) as (
        search,
        _,
    ):
        search.train()


def take_lora(shape: Shape, arguments: argparse.Namespace) -> None:
    """A training of peft's LoRA by the same trainer."""
    from train_step import peft_lora

    from peftsearch.training.arguments import Phase
    from peftsearch.training.trainer import TaskTrainer

    with TemporaryDirectory() as folder:
        TaskTrainer(
            peft_lora(shape),
            task_format=TokenForm(),
            train=RandomTokens(shape, shape.batch * STEPS),
            settings=training_settings(arguments, shape.batch),
            phase=Phase("lora", Path(folder), 0, STEPS),
        ).train()


RUNS = {"search": take_search, "LoRA r=8": take_lora}


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
    print("| model | search, GiB | peft LoRA r=8, GiB | ratio |\n|---|---|---|---|")
    for name in arguments.shapes.split(","):
        search, lora = (in_fresh_process(name, run) for run in RUNS)
        sizes = f"{SHAPES[name].batch} x {SHAPES[name].tokens}"
        print(f"| {name}, {sizes} | {search:.2f} | {lora:.2f} | {search / lora:.2f} |", flush=True)


if __name__ == "__main__":
    main()
