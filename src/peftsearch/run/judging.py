"""Train some trainings up to a step and judge them there: one after the other, or several at a time with ray."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from peftsearch.errors import DivergedError, TrainingError
from peftsearch.run.experiment import Experiment
from peftsearch.run.training import Training
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.training.workers import Workers


@dataclass(frozen=True)
class Judged:
    """The losses of a training at a step.

    Args:
        name: of the training.
        losses: of every judge; none where a loss of the training is no number.
        seconds: that it took.
        error: why there are no losses.
    """

    name: str
    losses: list[float]
    seconds: float
    error: str = ""


# Trains (trainings by name, up to a step, judged on these examples); gives each as it is ready.
Judge = Callable[[Mapping[str, Training], int, EncodedSplit], Iterator[Judged]]


@contextmanager
def judging(experiment: Experiment) -> Iterator[Judge]:
    """Give the way to judge trainings that an experiment's workers allow.

    Raises:
        PeftSearchError: if there are several workers but no ray.
    """
    workers = experiment.workers
    if workers.count == 1:
        yield _judge_here
        return
    # Before they start: several workers would all fit the head of the same seed.
    experiment.start_model(experiment.seed)
    with workers.started() as ray:
        yield _on_ray(workers, ray)


def _judge_here(trainings: Mapping[str, Training], step: int, judges: EncodedSplit) -> Iterator[Judged]:
    for name, training in trainings.items():
        yield _judge(name, training, step, judges)


def _on_ray(workers: Workers, ray: ModuleType) -> Judge:
    submit = workers.remote(ray, _judge)

    def judge(trainings: Mapping[str, Training], step: int, judges: EncodedSplit) -> Iterator[Judged]:
        waiting, running = list(trainings.items()), {}
        while waiting or running:
            while waiting and len(running) < workers.count:
                name, training = waiting.pop(0)
                running[submit(name, training, step, judges)] = name
            for reference in ray.wait(list(running))[0]:
                yield _received(ray, reference, running.pop(reference))

    return judge


def _received(ray: ModuleType, reference: Any, name: str) -> Judged:
    """The losses from a worker.

    Raises:
        TrainingError: if its process died each time that it was started.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError:  # an error of the training itself
        raise
    except ray.exceptions.RayError as error:
        raise TrainingError(
            f"The worker that trained {name} died each time that it was started: {str(error).splitlines()[0]} "
            "Fewer --workers or a smaller --training.per_device_train_batch_size take less memory; --resume goes on "
            "from what is done."
        ) from error


def _judge(name: str, training: Training, step: int, judges: EncodedSplit) -> Judged:
    started = time.perf_counter()
    try:
        losses, reason = training.run_until(step, judged_on=judges), ""
    except DivergedError as error:
        losses, reason = [], str(error)
    return Judged(name, losses, time.perf_counter() - started, reason)
