"""Versions, processors and devices of a run. No torch at import."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from peftsearch.errors import PeftSearchError

_PACKAGES = ("peftsearch", "torch", "transformers", "peft", "accelerate", "datasets", "safetensors")


def refuse_several_processes() -> None:
    """Refuse to be one of several processes of torchrun or `accelerate launch`.

    Raises:
        PeftSearchError: if there are others.
    """
    count = os.environ.get("WORLD_SIZE", "")
    if count.isdigit() and int(count) > 1:
        raise PeftSearchError(
            f"This is one of {count} processes (WORLD_SIZE={count}, as torchrun and accelerate launch set it), but "
            "peftsearch works in one. Start it without a launcher. Trainings run side by side with "
            "`peftsearch compare --workers N`, and in `peftsearch search --method race --workers N`."
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide on results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def threads_of_each(workers: int) -> int:
    """CPU threads of each of some workers: as OMP_NUM_THREADS says, or an equal share of the cores."""
    wished = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (int(wished) if wished.isdigit() else 0) or max(1, cores // workers)


def environment() -> dict[str, Any]:
    """Describe the machine of a run, without paths and user names."""
    import torch

    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "command": " ".join(["peftsearch", *sys.argv[1:]]),
    }
