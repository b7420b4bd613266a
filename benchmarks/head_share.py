"""Train with a head that was fitted to the frozen model to a share of the way, and score the result on the test split.

python benchmarks/head_share.py --task runs/intent_tasks/hwu64.yaml --method lnfit_lora --budget 10bp --share 0.5
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from rate_judging import describe, make_training, open_experiment

from peftsearch.training import head_probe


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
        training = make_training(experiment, args.method, args.rate, Path(folder) / "training")
        training.run()
        print(f"head: {experiment.probed_heads.read(args.seed)}")
        print(describe(training, experiment))


if __name__ == "__main__":
    main()
