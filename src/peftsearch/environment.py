"""Versions, processors and devices of a run. No torch at import."""

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from peftsearch.errors import PeftSearchError

# Variables by which torchrun and accelerate tell a process of the others.
_OF_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_", "ACCELERATE_")
_PACKAGES = ("peftsearch", "torch", "transformers", "peft", "accelerate", "datasets", "safetensors")


def count_launched() -> int:
    """Processes that torchrun or `accelerate launch` has started; 1 without them."""
    count = os.environ.get("WORLD_SIZE", "")
    return int(count) if count.isdigit() and int(count) > 1 else 1


def index_launched() -> int:
    """Index of this process among those, from 0."""
    index = os.environ.get("RANK", "")
    return int(index) if count_launched() > 1 and index.isdigit() else 0


def refuse_several_processes(what: str) -> None:
    """Refuse to be one of several processes of torchrun or `accelerate launch`.

    Args:
        what: is asked for, such as "`peftsearch plan`".

    Raises:
        PeftSearchError: if there are others.
    """
    if (count := count_launched()) > 1:
        raise PeftSearchError(
            f"This is one of {count} processes (WORLD_SIZE={count}, as torchrun and accelerate launch set it), but "
            f"{what} works in one. Start it without a launcher; `peftsearch search`, `peftsearch train` and "
            "SearchTrainer are what several processes share. Trainings run side by side with `peftsearch compare "
            "--workers N`, and in `peftsearch search --method race --workers N`."
        )


def alone() -> dict[str, str]:
    """The environment for a process that is none of those of the launcher."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_LAUNCHERS)}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide on results."""
    return {"python": platform.python_version()} | {package: _version(package) for package in _PACKAGES}


@cache
def _version(package: str) -> str:
    """The installed version; every adapter notes it, and to read it takes milliseconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


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
        "processes": count_launched(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "command": " ".join(["peftsearch", *sys.argv[1:]]),
    }
