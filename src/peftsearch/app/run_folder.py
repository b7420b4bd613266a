"""The folder of a run: who may write to it, and how its files are written."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from peftsearch.errors import RunFolderError
from peftsearch.space import Role, Site

_PACKAGES = ("peftsearch", "torch", "transformers", "peft", "accelerate", "datasets", "safetensors")


def check_run_folder(path: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that a run may write to the folder, without touching it.

    Raises:
        RunFolderError: if it holds files and neither `resume` nor `overwrite` allows that, or is not a folder.
    """
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"The output '{path}' is a file. Give a folder with --output.")
    if not path.exists() or not any(path.iterdir()) or resume:
        return
    if not overwrite:
        raise RunFolderError(
            f"The output folder '{path}' is not empty. Continue that run with --resume, replace it with "
            "--overwrite, or give another folder with --output."
        )
    _refuse_foreign_folder(path)


def make_run_folder(path: Path, *, resume: bool) -> None:
    """Make the folder ready for a run, after `check_run_folder`: empty unless the run goes on.

    Raises:
        RunFolderError: if it cannot be made.
    """
    try:
        if path.exists() and not resume:
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"Cannot create the output folder '{path}': {error}.") from error


def _refuse_foreign_folder(path: Path) -> None:
    """`--overwrite` deletes runs, never a folder that something else made."""
    if not (path / "config.yaml").is_file():
        raise RunFolderError(
            f"The folder '{path}' does not hold a run (it has no config.yaml), so --overwrite leaves it alone. "
            "Give another folder with --output."
        )


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, document: Any) -> None:
    """Write readable JSON; see `write_text`."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run.

    Raises:
        RunFolderError: if it is missing or malformed.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"Cannot read '{path}': {error}. Is '{path.parent}' a finished run folder?") from error


def write_sites(path: Path, sites: Iterable[Site]) -> None:
    """Write every site of a model with its name."""
    write_json(path, [asdict(site) | {"name": site.name} for site in sites])


def read_sites(path: Path) -> list[Site]:
    """Read what `write_sites` wrote.

    Raises:
        RunFolderError: if it is missing or malformed.
    """
    rows = read_json(path)
    try:
        return [Site(**{k: Role(v) if k == "role" else v for k, v in row.items() if k != "name"}) for row in rows]
    except (AttributeError, TypeError, ValueError) as error:
        raise RunFolderError(f"Cannot read the sites in '{path}': {error}.") from error


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide on results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def environment() -> dict[str, Any]:
    """What the run ran on; no path and no user name."""
    import torch

    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "command": " ".join(["peftsearch", *sys.argv[1:]]),
    }
