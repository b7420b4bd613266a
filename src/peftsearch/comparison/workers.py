"""Run the groups of a comparison: one after the other in this process, or several at a time with ray."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from peftsearch.comparison.config import CompareConfig
from peftsearch.comparison.progress import ComparisonProgress
from peftsearch.comparison.runs import ComparedRun, RunGroup, record_failure, run_group
from peftsearch.errors import PeftSearchError
from peftsearch.messages import quieten_transformers
from peftsearch.training import stop_signals

# Seconds between two looks at the run folders while ray works.
_LOOK = 1.0
# Configurations and settings are all that passes through ray's store, whose least size this is about.
_STORE_BYTES = 100_000_000


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
    with _threads(config.num_threads):
        for group in groups:
            run_group(config, group, before=progress.started, after=progress.finished)
            done()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_on_ray(
    config: CompareConfig, groups: Sequence[RunGroup], progress: ComparisonProgress, done: Callable[[], None]
) -> None:
    """Run as many groups at a time as there are workers, each with its share of threads and GPUs.

    Arguments are those of `run_here`.

    Raises:
        PeftSearchError: if ray is not installed.
    """
    ray = import_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _start(ray, config)
    try:
        # Ray has put its own handlers in the place of ours.
        with stop_signals.handle_signals():
            _run_all(ray, config, list(groups), progress, done)
    finally:
        if is_ours:
            ray.shutdown()


def import_ray() -> ModuleType:
    """Import ray, an optional dependency.

    Raises:
        PeftSearchError: if it is not installed.
    """
    # Nothing is sent anywhere unless the user asks for it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise PeftSearchError(
            "Several workers need ray, which is not installed. Run pip install 'peftsearch[ray]', or give --workers 1."
        ) from error
    return ray


def _start(ray: ModuleType, config: CompareConfig) -> None:
    address = config.ray_address or os.environ.get("RAY_ADDRESS", "")
    options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "configure_logging": False}
    if not address:
        cores = config.workers * config.num_threads
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PeftSearchError(f"Cannot start ray at '{options['address']}': {error}. Check --ray_address.") from error


def _run_all(
    ray: ModuleType,
    config: CompareConfig,
    waiting: list[RunGroup],
    progress: ComparisonProgress,
    done: Callable[[], None],
) -> None:
    gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0) / config.workers)
    task = ray.remote(num_cpus=config.num_threads, num_gpus=gpus, max_retries=0)(_work)
    running: dict[Any, RunGroup] = {}
    while waiting or running:
        while waiting and len(running) < config.workers:
            group = waiting.pop(0)
            running[task.remote(config, group, os.getcwd())] = group
        for reference in ray.wait(list(running), timeout=_LOOK)[0]:
            _collect(ray, reference, running.pop(reference))
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


def _work(config: CompareConfig, group: RunGroup, folder: str) -> None:
    """Run a group in a worker's process.

    Args:
        config: of the comparison.
        group: is run.
        folder: that relative paths start from.
    """
    os.chdir(folder)
    quieten_transformers()
    with _threads(config.num_threads):
        run_group(config, group, before=_nothing, after=_nothing)


def _nothing(run: ComparedRun) -> None:
    """Do nothing: the driver watches the run folders."""
