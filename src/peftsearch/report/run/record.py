"""Read a run folder, finished or not."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from peftsearch.errors import RunFolderError
from peftsearch.files import read_limited, read_rows
from peftsearch.report.results import Results
from peftsearch.report.run.error_record import ERRORS, ErrorRecord
from peftsearch.report.run.sample_record import SAMPLES, SampleRecord
from peftsearch.searches.method import METHODS, MethodEntry
from peftsearch.space import Configuration

# Of each file; the log of a search has a few hundred bytes a step.
_MAX_BYTES = 1_000_000_000
# Folders of a run that hold trainings -> what is trained there; those in `baselines/` are named after methods.
TRAININGS = {"training": "searched", "baseline": "uniform LoRA", "baselines/*": "", "random_baseline": "random"}
# Further ones, whose learning curves are not drawn.
_FURTHER = ("ladder/*", "ladder/*/baseline", "pareto/*")


@dataclass(frozen=True)
class RunRecord:
    """The content of a run folder; parts that an unfinished run has not written yet are empty.

    Args:
        folder: the run folder.
        results: `results.json`; None while the run is not finished.
        configuration: the one found by the search, or the one trained without a search.
        by_hand: the configuration of each baseline by the folder of its trainings.
        sites: every site of the model, as in `sites.json`.
        search_log: one row a search step; empty without a search.
        importance: rows of `search/importance.jsonl`.
        trials: rows of `search/trials.jsonl`; empty unless the search was by trials.
        front: those of them on the Pareto front.
        lanes: rows of `search/lanes.jsonl`; empty unless the search was a race.
        training_logs: rows of each training by its folder, such as "baseline/seed-0"; see `label_of`.
        trained: `trained.json` of each finished training by the same name.
        settings: `config.yaml` as text.
        config: the same, parsed.
        errors: `errors.json`; None where it is missing, as in runs of earlier versions.
        samples: `samples.json`; None for tasks without texts to write.
    """

    folder: Path
    results: Results | None
    configuration: Configuration
    by_hand: dict[str, Configuration]
    sites: list[dict[str, Any]]
    search_log: list[dict[str, Any]]
    importance: list[dict[str, Any]]
    trials: list[dict[str, Any]]
    front: list[dict[str, Any]]
    lanes: list[dict[str, Any]]
    training_logs: dict[str, list[dict[str, Any]]]
    trained: dict[str, dict[str, Any]]
    settings: str
    config: dict[str, Any]
    errors: ErrorRecord | None = None
    samples: SampleRecord | None = None

    @property
    def is_finished(self) -> bool:
        """True once the run has its results."""
        return self.results is not None

    @property
    def handed_over(self) -> Configuration:
        """The configuration whose adapter lies in the run folder."""
        chosen = self.results.handed_over if self.results else None
        return self.by_hand.get(chosen.folder, self.configuration) if chosen else self.configuration

    @property
    def without_data(self) -> "RunRecord":
        """The same without what quotes the data, to be published."""
        errors = replace(self.errors, errors=self.errors.errors.without_data()) if self.errors else None
        return replace(self, errors=errors, samples=None)

    @property
    def finished(self) -> Results:
        """The results of a finished run.

        Raises:
            RunFolderError: if it is not finished.
        """
        if self.results is None:
            raise RunFolderError(f"'{self.folder}' has no results.json: the run is not finished. Go on with --resume.")
        return self.results


def collect(run: Path) -> RunRecord:
    """Read everything in a run folder that a report shows.

    Raises:
        RunFolderError: if the folder is not one of a run, or one of its files cannot be read.
    """
    if not (run / "config.yaml").is_file():
        raise RunFolderError(f"'{run}' is not a run folder: it has no config.yaml. Give the --output of a run.")
    try:
        return _read(run)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise RunFolderError(
            f"A file in '{run}' cannot be read: {error}. Start the run anew with --overwrite."
        ) from error


def _read(run: Path) -> RunRecord:
    settings = read_limited(run / "config.yaml", max_bytes=_MAX_BYTES)
    configuration, search = run / "configuration.json", run / "search"
    logs, trained = _of_seeds(run, "log.jsonl", TRAININGS), _of_seeds(run, "trained.json", [*TRAININGS, *_FURTHER])
    return RunRecord(
        folder=run,
        results=_results(run / "results.json"),
        configuration=Configuration.load(configuration) if configuration.is_file() else Configuration(),
        by_hand={
            _name(path, run): Configuration.load(path)
            for folder in ("baseline", "baselines/*")
            for path in sorted(run.glob(f"{folder}/configuration.json"))
        },
        sites=_document(run / "sites.json", []),
        search_log=read_rows(search / "log.jsonl"),
        importance=read_rows(search / "importance.jsonl"),
        trials=read_rows(search / "trials.jsonl"),
        front=_document(search / "pareto.json", []),
        lanes=read_rows(search / "lanes.jsonl"),
        training_logs={_name(path, run): read_rows(path) for path in logs},
        trained={_name(path, run): _document(path, {}) for path in trained},
        settings=settings,
        config=yaml.safe_load(settings) or {},
        errors=ErrorRecord.from_dict(_document(run / ERRORS, None)) if (run / ERRORS).is_file() else None,
        samples=SampleRecord.from_dict(_document(run / SAMPLES, None)) if (run / SAMPLES).is_file() else None,
    )


def label_of(record: RunRecord, group: str) -> str:
    """Name of what is trained in a folder of trainings, such as "baseline", for charts."""
    is_searched = record.results.space if record.results else record.search_log or record.trials or record.lanes
    if group == "training" and not is_searched:
        return "trained"
    return TRAININGS.get(group) or group.rpartition("/")[2]


def method_of(record: RunRecord) -> MethodEntry | None:
    """The method that the run was started with; None for one that is not known here."""
    name = str(record.config.get("method", {}).get("name"))
    if name not in METHODS:
        return None
    return METHODS[name]


def _of_seeds(run: Path, name: str, folders: Iterable[str]) -> list[Path]:
    """Files of that name in folders of trainings, in the order of the folders and of the seeds."""
    found = [sorted(run.glob(f"{folder}/seed-*/{name}"), key=_place_of) for folder in folders]
    return [path for paths in found for path in paths]


def _place_of(path: Path) -> tuple[str, int]:
    return path.parent.parent.as_posix(), int(path.parent.name.removeprefix("seed-"))


def _name(path: Path, run: Path) -> str:
    return path.parent.relative_to(run).as_posix()


def _results(path: Path) -> Results | None:
    return Results.from_dict(_document(path, None), name=str(path)) if path.is_file() else None


def _document(path: Path, missing: Any) -> Any:
    return json.loads(read_limited(path, max_bytes=_MAX_BYTES)) if path.is_file() else missing
