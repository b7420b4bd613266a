"""Run the groups of a comparison: one after the other in this process, or several at a time with ray."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from peftsearch.comparison.config import CompareConfig
from peftsearch.comparison.progress import ComparisonProgress
from peftsearch.comparison.runs import ComparedRun, RunGroup, bring_runs, record_failure, run_group
from peftsearch.training.workers import Workers, limited_threads

# Seconds between two looks at the run folders while ray works.
_LOOK = 1.0


def run_here(
    config: CompareConfig, groups: Sequence[RunGroup], progress: ComparisonProgress, done: Callable[[], None]
) -> None:
    """Run group after group in this process.

    Args:
        config: of the comparison.
        groups: with at least one unfinished run each.
        progress: is kept up to date.
        done: called after each group.
    """
    with limited_threads(config.num_threads):
        for group in groups:
            run_group(config, group, before=progress.started, after=progress.finished)
            done()


def run_on_ray(
    config: CompareConfig, groups: Sequence[RunGroup], progress: ComparisonProgress, done: Callable[[], None]
) -> None:
    """Run as many groups at a time as there are workers, each with its share of threads and GPUs.

    Arguments are those of `run_here`.

    Raises:
        PeftSearchError: if ray is not installed.
    """
    workers = Workers(config.workers, config.num_threads, config.ray_address, shares_folder=not config.mirror)
    with workers.started() as ray:
        submit, waiting, running = workers.remote(ray, _work), list(groups), {}
        while waiting or running:
            while waiting and len(running) < config.workers:
                group = waiting.pop(0)
                running[submit(config, group)] = group
            for reference in ray.wait(list(running), timeout=_LOOK)[0]:
                group = running.pop(reference)
                _collect(ray, reference, group)
                bring_runs(config, group.runs)
                done()
            progress.look([group.name for group in running.values()])


def _collect(ray: ModuleType, reference: Any, group: RunGroup) -> None:
    """Receive the end of a group; if its process died, record its first unfinished run as failed."""
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        run = next((run for run in group.runs if not run.is_done), None)
        if run is not None:
            record_failure(run, f"The worker ended: {str(error).splitlines()[0]}", details=str(error))


def _work(config: CompareConfig, group: RunGroup) -> None:
    """Run a group in a worker's process, from what its copies hold; the driver watches the run folders."""
    bring_runs(config, group.runs)
    run_group(config, group, before=_nothing, after=_nothing)


def _nothing(run: ComparedRun) -> None:
    pass
