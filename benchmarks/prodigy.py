"""Train with Prodigy, an optimizer without a rate, from several first estimates of its step size.

Needs `pip install prodigyopt`. Tasks as in starts_before.yaml; docs/results_starts.md has the figures.

    python benchmarks/prodigy.py --task runs/intent_tasks/hwu64.yaml --estimates 1e-6,1e-5,1e-4,1e-3
"""

import argparse
import tempfile
from pathlib import Path

import torch
from prodigyopt import Prodigy
from rate_judging import describe, make_training, open_experiment

from peftsearch.run.experiment import Experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="task file as text_tasks.py writes it")
    parser.add_argument("--method", default="uniform_lora", help="a manual method")
    parser.add_argument("--budget", default="2bp")
    parser.add_argument("--estimates", default="1e-6,1e-5,1e-4,1e-3", help="comma-separated first estimates d0")
    parser.add_argument("--multiple", type=float, default=2.0, help="Prodigy's d_coef")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        experiment = open_experiment(args, folder)
        for estimate in map(float, args.estimates.split(",")):
            print(f"d0 {estimate:g}: {train(experiment, args, estimate, Path(folder))}", flush=True)


def train(experiment: Experiment, args: argparse.Namespace, estimate: float, folder: Path) -> str:
    """Train to the end; say the estimate along the way, the best epoch's validation loss, and its test accuracy."""
    # The rate is a multiple of Prodigy's own, and the schedule lowers it.
    training = make_training(experiment, args.method, 1.0, folder / f"{estimate:g}")
    trained = [parameter for parameter in training.model.parameters() if parameter.requires_grad]
    optimizer = Prodigy(trained, lr=1.0, d0=estimate, d_coef=args.multiple, weight_decay=0.0)
    training.trainer.optimizer = optimizer
    found: list[str] = []
    marks = {experiment.num_steps * share // 16 for share in (1, 2, 4, 8)}
    optimizer.register_step_post_hook(_note_estimate(found, marks))
    training.run()
    return f"{describe(training, experiment)}; d {', '.join(found)}"


def _note_estimate(found: list[str], marks: set[int]):
    steps = 0

    def note(optimizer: torch.optim.Optimizer, *_: object) -> None:
        nonlocal steps
        steps += 1
        if steps in marks:
            found.append(f"{optimizer.param_groups[0]['d']:.1e} after {steps}")

    return note


if __name__ == "__main__":
    main()
