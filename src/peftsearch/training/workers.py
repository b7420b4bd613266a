"""Processes that train side by side, on this machine or on a Ray cluster."""

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from peftsearch.errors import PeftSearchError
from peftsearch.messages import quieten_transformers
from peftsearch.training import stop_signals

logger = logging.getLogger(__name__)

# Configurations and settings are nearly all that passes through ray's store, whose least size this is about.
_STORE_BYTES = 100_000_000
# Times that a piece of work starts again, on whatever node has room, after its process or its node died. One that dies
# each time, as for want of memory, must come to an end.
_RESTARTS = 2


@dataclass(frozen=True)
class Workers:
    """Processes that train at the same time.

    Args:
        count: of them; 1 is this process alone.
        num_threads: CPU threads of each.
        ray_address: a running ray cluster ("auto" finds it); without one, and without RAY_ADDRESS, this machine.
        shares_folder: whether all machines see the folder that work is started in; those that do not make one.
    """

    count: int = 1
    num_threads: int = 1
    ray_address: str = ""
    shares_folder: bool = True

    @contextmanager
    def started(self) -> Iterator[ModuleType]:
        """Start ray, or use the one that this process is connected to; what was started here ends here.

        Raises:
            PeftSearchError: if ray is not installed or cannot be started.
        """
        ray = import_ray()
        is_ours = not ray.is_initialized()
        if is_ours:
            self._start(ray)
        try:
            # Ray has put its own handlers in the place of ours.
            with stop_signals.handle_signals():
                yield ray
        finally:
            if is_ours:
                ray.shutdown()

    def remote(self, ray: ModuleType, work: Callable[..., Any]) -> Callable[..., Any]:
        """Make a function that runs in a worker, with its share of threads and GPUs, and returns a reference.

        Relative paths mean there what they mean here. Work whose process or node dies starts again, elsewhere if need
        be, so it goes on from what it has written.

        Args:
            ray: as `started` gives it.
            work: takes and returns what can be pickled, and may be started more than once.
        """
        self._warn_of_small_machines(ray)
        gpus = share_of_cards(ray.cluster_resources().get("GPU", 0.0), workers=self.count)
        task = ray.remote(num_cpus=self.num_threads, num_gpus=gpus, max_retries=_RESTARTS)(_work)

        def submit(*arguments: Any) -> Any:
            return task.remote(work, arguments, self, os.getcwd())

        return submit

    def _warn_of_small_machines(self, ray: ModuleType) -> None:
        """Say why nothing starts where no machine has the threads of a worker: ray waits for one that may join."""
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if largest < self.num_threads:
            logger.warning(
                "A worker has %d CPU threads, but no machine of the cluster has more than %d. Work waits until one "
                "joins; stop it and give OMP_NUM_THREADS=%d to start at once.",
                *(self.num_threads, largest, largest),
            )

    def _start(self, ray: ModuleType) -> None:
        address = self.ray_address or os.environ.get("RAY_ADDRESS", "")
        options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "configure_logging": False}
        if not address:
            cores = self.count * self.num_threads
            options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
        try:
            ray.init(**options)
        except Exception as error:  # of no type of its own where a node does not start in time
            where = options["address"]
            raise PeftSearchError(f"Cannot start ray at '{where}': {error} Check --ray_address.") from error


def share_of_cards(cards: float, *, workers: int) -> float:
    """GPUs of each worker: a whole one, or such a part of one that all workers find room at the same time.

    Args:
        cards: of the cluster.
        workers: number of them.

    Returns:
        1 over a whole number, rounded down to the four digits that ray counts; 0 without cards.
    """
    if not cards:
        return 0.0
    on_a_card = math.ceil(workers / cards)
    return 10_000 // on_a_card / 10_000


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


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads inside of the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(work: Callable[..., Any], arguments: tuple[Any, ...], workers: Workers, folder: str) -> Any:
    """Do a piece of work in a worker's process."""
    if not workers.shares_folder:
        os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    quieten_transformers()
    with limited_threads(workers.num_threads):
        return work(*arguments)
