"""Packages with entry points, installed into a folder as pip would."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Write the files of a package and what pip writes beside them.

    Args:
        folder: of installed packages, for `PYTHONPATH`; it may hold other packages.
        files: path -> text; "pyproject.toml" has the name, the version and the entry points.

    Returns:
        the environment of a process that has the package.
    """
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])["project"]
    name, version = project["name"], project["version"]
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = project["entry-points"].items()
    lines = [line for group, entries in groups for line in (f"[{group}]", *(f"{n} = {v}" for n, v in entries.items()))]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
