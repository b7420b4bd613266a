"""Run the units of a comparison: one after the other in this process, or several at a time with ray."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from peftsearch.comparison.config import CompareConfig
from peftsearch.comparison.progress import Progress
from peftsearch.comparison.runs import Cell, Unit, record_failure, run_unit
from peftsearch.errors import PeftSearchError
from peftsearch.training import stop_signals

# Seconds between two looks at the run folders while ray works.
_LOOK = 1.0
# Configurations and settings are all that passes through ray's store, whose least size this is about.
_STORE_BYTES = 100_000_000


def run_here(config: CompareConfig, units: Sequence[Unit], progress: Progress, done: Callable[[], None]) -> None:
    """Run unit by unit.

    Args:
        done: called after each unit.
    """
    with _threads(config.num_threads):
        for unit in units:
            run_unit(config, unit, before=progress.started, after=progress.finished)
            done()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_on_ray(config: CompareConfig, units: Sequence[Unit], progress: Progress, done: Callable[[], None]) -> None:
    """Run as many units at a time as there are workers, each with its share of threads and GPUs.

    Args:
        done: called after each unit.

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
            _run_all(ray, config, list(units), progress, done)
    finally:
        if is_ours:
            ray.shutdown()


def import_ray() -> ModuleType:
    """Ray, which is an extra.

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
    ray: ModuleType, config: CompareConfig, waiting: list[Unit], progress: Progress, done: Callable[[], None]
) -> None:
    gpus = min(1.0, ray.cluster_resources().get("GPU", 0.0) / config.workers)
    task = ray.remote(num_cpus=config.num_threads, num_gpus=gpus, max_retries=0)(_work)
    running: dict[Any, Unit] = {}
    while waiting or running:
        while waiting and len(running) < config.workers:
            unit = waiting.pop(0)
            running[task.remote(config, unit, os.getcwd())] = unit
        for reference in ray.wait(list(running), timeout=_LOOK)[0]:
            _collect(ray, reference, running.pop(reference))
            done()
        progress.look([unit.name for unit in running.values()])


def _collect(ray: ModuleType, reference: Any, unit: Unit) -> None:
    """Take the end of a unit; where its process died, the cell that ran has failed, and the later ones are open."""
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        cell = next((cell for cell in unit.cells if not cell.is_done), None)
        if cell is not None:
            record_failure(cell, f"The worker ended: {str(error).splitlines()[0]}", details=str(error))


def _work(config: CompareConfig, unit: Unit, folder: str) -> None:
    """Run a unit in a worker's process, in the folder that relative paths start from."""
    os.chdir(folder)
    _quieten()
    with _threads(config.num_threads):
        run_unit(config, unit, before=_nothing, after=_nothing)


def _quieten() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _nothing(cell: Cell) -> None:
    """Watch nothing: the driver looks at the run folders."""
