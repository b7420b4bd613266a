"""Train with a head that was fitted to the frozen model to a share of the way, and score the result on the test split.

python benchmarks/head_share.py --task runs/intent_tasks/hwu64.yaml --method lnfit_lora --budget 10bp --share 0.5
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from rate_judging import open_experiment

from peftsearch.run.choose_recipe import choose_recipe
from peftsearch.run.config import make_config
from peftsearch.training import head_probe
from peftsearch.training.arguments import Phase
from peftsearch.training.evaluation import evaluate, losses
from peftsearch.training.fine_tuning import FineTuning


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="task file as text_tasks.py writes it")
    parser.add_argument("--method", default="lnfit_lora", help="a manual method")
    parser.add_argument("--budget", default="10bp")
    parser.add_argument("--share", type=float, default=head_probe.SHARE, help="of the way; 0 for the fresh head")
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    head_probe.SHARE = args.share
    with tempfile.TemporaryDirectory() as folder:
        experiment = open_experiment(args, folder)
        start = "probe" if args.share > 0 else "fresh"
        experiment = replace(experiment, training=replace(experiment.training, head_start=start))
        recipe = choose_recipe(args.method, make_config({"model": "demo", "method": args.method}).method, experiment)
        training = FineTuning(
            recipe.attach(experiment, args.seed, steps=experiment.num_steps).model,
            task_format=experiment.task_format,
            train=experiment.train.encoded,
            validation=experiment.validation,
            metric=experiment.task.selection_metric,
            settings=replace(experiment.training, learning_rate=args.rate),
            phase=Phase("training", Path(folder) / "training", args.seed),
        )
        training.run()
        batch_size, task_format = experiment.training.per_device_eval_batch_size, experiment.task_format
        encoded, examples = experiment.test.encoded, experiment.test.examples
        test = evaluate(training.model, task_format, examples, encoded, batch_size=batch_size)
        test_loss = fmean(losses(training.model, task_format, encoded, batch_size=batch_size))
        probe = experiment.probed_heads.read(args.seed)
    print(f"head: {probe}")
    print(f"validation loss {fmean(training.validation_losses()):.3f}")
    print(f"test accuracy {test['accuracy']:.1f}, loss {test_loss:.3f}")


if __name__ == "__main__":
    main()
