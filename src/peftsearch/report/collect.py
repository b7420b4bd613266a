"""Read a run folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peftsearch.errors import RunFolderError
from peftsearch.space import Configuration


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds.

    Args:
        folder: the run folder.
        results: `results.json`.
        configuration: what was found or trained.
        sites: every site of the model, as in `sites.json`.
        search_log: one row a search step; empty without a search.
        trials: rows of `search/trials.jsonl`; empty unless the search was by trials.
        front: those of them on the Pareto front.
        training_logs: rows of each training by the name of its folder.
        settings: `config.yaml` as text.
    """

    folder: Path
    results: dict[str, Any]
    configuration: Configuration
    sites: list[dict[str, Any]]
    search_log: list[dict[str, Any]]
    trials: list[dict[str, Any]]
    front: list[dict[str, Any]]
    training_logs: dict[str, list[dict[str, Any]]]
    settings: str


def collect(run: Path) -> RunRecord:
    """Read everything that a report shows.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    for name in ("results.json", "configuration.json", "sites.json", "config.yaml"):
        if not (run / name).is_file():
            raise RunFolderError(
                f"'{run}' has no {name}. Give the folder of a finished run, or finish it with --resume."
            )
    front = run / "search" / "pareto.json"
    logs = sorted((run / "training").glob("seed-*/log.jsonl"))
    return RunRecord(
        folder=run,
        results=json.loads((run / "results.json").read_text(encoding="utf-8")),
        configuration=Configuration.load(run / "configuration.json"),
        sites=json.loads((run / "sites.json").read_text(encoding="utf-8")),
        search_log=_rows(run / "search" / "log.jsonl"),
        trials=_rows(run / "search" / "trials.jsonl"),
        front=json.loads(front.read_text(encoding="utf-8")) if front.is_file() else [],
        training_logs={path.parent.name: _rows(path) for path in logs},
        settings=(run / "config.yaml").read_text(encoding="utf-8"),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
