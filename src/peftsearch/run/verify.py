"""Check a finished result in a new process, which knows nothing but the files."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from peftsearch.environment import alone
from peftsearch.errors import TrainingError
from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import read_config
from peftsearch.run.proof import Proof, score_validation
from peftsearch.run.saved_model import SavedModel
from peftsearch.tasks.metric_registry import METRICS

# Largest difference of a score, in points or percent: rounding only, since both processes run the same code on the
# same threads.
_TOLERANCE = 1e-3


def verify(saved: SavedModel, folder: Path, proof: Proof) -> dict[str, Any]:
    """Count and score the result in a run folder in a new process, on the validation split.

    The test split is scored once, in `proof`, and not again here.

    Args:
        saved: how the result is loaded.
        folder: the run folder.
        proof: size and scores as this process measured them.

    Returns:
        for `results.json`: parameters, validation metrics and seconds of the new process.

    Raises:
        TrainingError: if the new process fails, counts another number of parameters or finds another score.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "peftsearch.run.verify", str(folder)],
        input=json.dumps(asdict(saved)),
        env=alone() | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TrainingError(
            f"The result in '{folder}' cannot be loaded by a new process: {reason} What only this program registers, "
            "such as a kind of its own, is unknown there: install it as a package with an entry point (see "
            "docs/extend.md), or leave this check out with --verify false."
        )
    measured = json.loads(done.stdout.splitlines()[-1])
    differing = differences(proof, **measured)
    if differing:
        raise TrainingError(
            f"The result in '{folder}' is another one in a new process ({'; '.join(differing)}). The saved files do "
            "not hold the trained model, so the run has no results.json."
        )
    return measured | {"seconds": time.perf_counter() - started}


def differences(proof: Proof, *, parameters: int, validation: dict[str, float]) -> list[str]:
    """Describe where a second measurement differs from the proof; empty if nowhere."""
    found: dict[str, tuple[float, float]] = {}
    if parameters != proof.parameters:
        found["parameters"] = (proof.parameters, parameters)
    for name, value in proof.validation.items():
        if not abs(value - validation[name]) <= METRICS[name].tolerance(value, percent=_TOLERANCE):
            found[name] = (value, validation[name])
    return [f"{name}: was {first:,.6g}, is {second:,.6g}" for name, (first, second) in found.items()]


def measure(saved: SavedModel, folder: Path) -> dict[str, Any]:
    """Load a result and its task, count its parameters and score it on the validation split.

    Args:
        saved: how the result is loaded.
        folder: the run folder.

    Returns:
        "parameters" and "validation", its metrics.
    """
    model, parameters = saved.load(folder)
    experiment = Experiment.open(read_config(folder / "config.yaml"))
    return {"parameters": parameters, "validation": score_validation(model, experiment)}


def main() -> None:
    """Measure a result in the new process.

    The run folder is the argument and a `SavedModel` comes as JSON on standard input; the last line of standard output
    is the answer as JSON.
    """
    print(json.dumps(measure(SavedModel(**json.load(sys.stdin)), Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
