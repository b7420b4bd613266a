"""Compare a probed head with scikit-learn's logistic regression on the same features.

python benchmarks/head_probe.py --task runs/intent_tasks/hwu64.yaml
"""

import argparse
import tempfile
from pathlib import Path

import numpy
import torch
from rate_judging import open_experiment
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from peftsearch.run.experiment import Experiment
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training.evaluation import batches_by_length

STRENGTHS = (0.1, 1, 10, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="task file as text_tasks.py writes it")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.method, args.budget = "head", ""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        experiment = open_experiment(args, folder)
        model = experiment.start_model(args.seed).model
        probe = experiment.probed_heads.read(args.seed)
        print(probe)
        x, y = features(model, experiment, experiment.splits.train)
        held_out, expected = features(model, experiment, experiment.splits.validation)
    for strength in STRENGTHS:
        found = LogisticRegression(C=strength, max_iter=3000).fit(x, y)
        loss = log_loss(expected, found.predict_proba(held_out), labels=found.classes_)
        accuracy = 100 * found.score(held_out, expected)
        print(f"logistic regression, C {strength}: loss {loss:.3f}, accuracy {accuracy:.1f}")


@torch.inference_mode()
def features(model: nn.Module, experiment: Experiment, split: EncodedSplit) -> tuple[numpy.ndarray, numpy.ndarray]:
    """What BERT's classifier reads, (rows, width), and the labels."""
    rows, labels = [], []
    for batch in batches_by_length(experiment.task_format, split.encoded, 64):
        labels.append(batch.pop("labels"))
        rows.append(model.eval().base_model(**batch).pooler_output)
    return torch.cat(rows).numpy(), torch.cat(labels).numpy()


if __name__ == "__main__":
    main()
