"""What checkpoints cost: seconds of writing them every 50 steps over the seconds of a search, in one process.

python benchmarks/checkpoints.py
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from peftsearch.run.experiment import Experiment
from peftsearch.run.make_config import make_config
from peftsearch.run.supernets import make_supernet
from peftsearch.searches.gate_driver import split_training_set, start_gate_search
from peftsearch.searches.method import METHODS
from peftsearch.searches.task_search import SearchData, TaskHost
from peftsearch.training.arguments import Phase


def main() -> None:
    """Run a search, and time every checkpoint and every step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--save_steps", type=int, default=50)
    arguments = parser.parse_args()
    training = {"per_device_train_batch_size": arguments.batch, "save_steps": arguments.save_steps}
    config = make_config({"model": "demo", "task": "demo", "budget": "0.1%", "method": "bipeft", "training": training})
    experiment = Experiment.open(config)
    method = METHODS["bipeft"].load()
    halves = split_training_set(experiment.splits.train.encoded, method, 0)
    strategy = method(
        experiment.space,
        budgets=list(experiment.usable_budgets().values()),
        settings=config.method,
        planned_steps=arguments.steps,
    )
    supernet = make_supernet(experiment)
    with tempfile.TemporaryDirectory() as folder:
        data = SearchData(
            experiment.task_format, *halves, experiment.splits.validation, experiment.task.selection_metric
        )
        host = TaskHost(data, config.training, Phase("search", Path(folder), 0, arguments.steps))
        trainer = host.watch(start_gate_search(host, supernet, strategy))
        taken, sizes = _time_checkpoints(trainer)
        started = time.perf_counter()
        trainer.resume()
        seconds = time.perf_counter() - started
    share = sum(taken) / (seconds - sum(taken))
    print(f"{arguments.steps} steps of {arguments.batch} examples: {seconds:.1f} s")
    print(f"{len(taken)} checkpoints of {median(sizes) / 1e6:.1f} MB: median {median(taken):.3f} s")
    print(f"share of the search's time: {100 * share:.2f}%")


def _time_checkpoints(trainer) -> tuple[list[float], list[int]]:
    """Seconds and bytes of each checkpoint, filled while the search runs."""
    taken: list[float] = []
    sizes: list[int] = []
    save = trainer.save_checkpoint

    def timed() -> Path:
        started = time.perf_counter()
        path = save()
        taken.append(time.perf_counter() - started)
        sizes.append(sum(file.stat().st_size for file in path.iterdir()))
        return path

    trainer.save_checkpoint = timed
    return taken, sizes


if __name__ == "__main__":
    main()
