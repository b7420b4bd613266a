"""Compare the validation losses that judge a learning rate early: those of the weights as they are, and averaged ones.

For each rate a training runs on its whole schedule up to each share of the steps. Its loss is printed with the weights
of that step, and with those averaged over the later half of the steps so far; with `--end` the rate is trained to its
end too, and validation loss and test accuracy there are printed. Tasks as in starts_before.yaml.

    python benchmarks/rate_judging.py --task runs/intent_tasks/hwu64.yaml --method uniform_lora --budget 2bp \
        --rates 1e-3,3e-3,1e-2,2e-2,4e-2
    python benchmarks/rate_judging.py --task runs/five_tasks/hwu64.yaml --rates 1e-2,3e-2 --shares 0.25,0.5 --end
"""

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
import yaml

from peftsearch.run.choose_recipe import choose_recipe
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config
from peftsearch.training.arguments import Phase
from peftsearch.training.average import AverageUntil
from peftsearch.training.evaluation import evaluate_for, losses
from peftsearch.training.fine_tuning import FineTuning
from peftsearch.training.halving import ROUNDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="task file as text_tasks.py writes it")
    parser.add_argument("--method", default="uniform_lora", help="a manual method")
    parser.add_argument("--budget", default="2bp")
    parser.add_argument("--rates", default="1e-3,3e-3,1e-2,3e-2", help="comma-separated")
    parser.add_argument(
        "--shares",
        default=",".join(str(share) for share, _ in ROUNDS),
        help="of the steps, ascending, each twice the one before",
    )
    parser.add_argument("--end", action="store_true", help="train every rate to its end as well")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        experiment = open_experiment(args, folder)
        for rate in map(float, args.rates.split(",")):
            # One training: each part goes on from the checkpoint of the one before.
            place = Path(folder) / f"{rate:g}"
            for step in [math.ceil(float(share) * experiment.num_steps) for share in args.shares.split(",")]:
                raw, averaged = measure(experiment, args.method, rate, step, place)
                print(f"rate {rate:g}, step {step}: raw {raw:.3f}, averaged {averaged:.3f}", flush=True)
            if args.end:
                training = make_training(experiment, args.method, rate, place)
                training.run()
                print(f"rate {rate:g}, end: {describe(training, experiment)}", flush=True)


def open_experiment(args: argparse.Namespace, folder: str) -> Experiment:
    """Open the task with the settings of `starts_before.yaml`."""
    task = yaml.safe_load(args.task.read_text(encoding="utf-8"))
    training = {"num_train_epochs": 4, "per_device_train_batch_size": 16, "max_seq_length": 64}
    return Experiment.open(
        make_config(
            {name: task[name] for name in ("data", "text", "label")}
            | {"model": "demo", "budget": args.budget, "max_train_samples": 2500, "seed": args.seed}
            | {"method": args.method, "training": training, "output": folder}
        )
    )


def make_training(experiment: Experiment, method: str, rate: float, folder: Path) -> FineTuning:
    """Make the training of a manual method at a rate."""
    recipe = choose_recipe(method, make_config({"model": "demo", "method": method}).method, experiment)
    return FineTuning(
        recipe.attach(experiment, experiment.seed, steps=experiment.num_steps).model,
        task_format=experiment.task_format,
        train=experiment.splits.train.encoded,
        validation=experiment.splits.validation,
        metric=experiment.task.selection_metric,
        settings=replace(experiment.training, learning_rate=rate),
        phase=Phase(f"rate {rate:g}", folder, experiment.seed),
    )


def describe(training: FineTuning, experiment: Experiment) -> str:
    """The losses on validation and test, and the accuracy on test, of a finished training."""
    batch_size, task_format = experiment.training.per_device_eval_batch_size, experiment.task_format
    metric, model = experiment.task.reported_metric, training.model
    test = evaluate_for(metric, model, task_format, experiment.splits.test, batch_size=batch_size).metrics
    loss = fmean(losses(model, task_format, experiment.splits.test.encoded, batch_size=batch_size))
    held_out = fmean(training.validation_losses())
    return f"validation loss {held_out:.3f}, test {metric} {test[metric]:.1f}, test loss {loss:.3f}"


def measure(experiment: Experiment, method: str, rate: float, step: int, folder: Path) -> tuple[float, float]:
    """Train on to a step; return its mean validation loss with the weights as they are, and with averaged ones."""
    training = make_training(experiment, method, rate, folder)
    average = AverageUntil(step)
    training.trainer.add_callback(average)
    training.trainer.resume(pause_after=step)
    raw = fmean(training.validation_losses())
    average.mean.put_into(training.model)
    return raw, fmean(training.validation_losses())


if __name__ == "__main__":
    main()
