"""The runs of a comparison, and groups of them: all seeds of one task and method, in order."""

import logging
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peftsearch.comparison.config import REFERENCE, WITHOUT_BUDGET, CompareConfig
from peftsearch.comparison.tasks import ComparedTask
from peftsearch.errors import BudgetError, PeftSearchError
from peftsearch.files import write_json
from peftsearch.methods.manual.method import baseline_lora
from peftsearch.mirror import Mirror
from peftsearch.models.discover import find_sites
from peftsearch.models.load import sketch_model
from peftsearch.report.comparison.table import RunScore
from peftsearch.report.results import Results
from peftsearch.run.config import RunConfig
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import make_config
from peftsearch.run.pipeline import run_search, run_train
from peftsearch.searches.method import METHODS, Driver
from peftsearch.space.budget import Budget

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison: a method on a task with a seed.

    Args:
        task: of the run.
        method: name of the method.
        seed: of the split, the search and the training.
        folder: its run folder.
    """

    task: ComparedTask
    method: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Task, method and seed, for progress and messages."""
        return f"{self.task.name}, {self.method}, seed {self.seed}"

    @property
    def part(self) -> str:
        """Its folder below that of the comparison."""
        return "/".join(self.folder.parts[-3:])

    @property
    def results(self) -> Path:
        """The file that a finished run leaves."""
        return self.folder / "results.json"

    def read_results(self) -> Results:
        """The results of a finished run.

        Raises:
            RunFolderError: if they cannot be read.
        """
        return Results.from_dict(read_json(self.results), name=str(self.results))

    @property
    def failure(self) -> Path:
        """The file that a failed run leaves."""
        return self.folder / "failed.json"

    @property
    def is_finished(self) -> bool:
        """Whether the run ended well."""
        return self.results.is_file()

    @property
    def is_done(self) -> bool:
        """Whether the run ended, well or not."""
        return self.is_finished or self.failure.is_file()


@dataclass(frozen=True)
class RunGroup:
    """A method on a task with its seeds in order, since the first seed may choose the learning rate of the others.

    Args:
        runs: at least one.
    """

    runs: tuple[ComparedRun, ...]

    @property
    def name(self) -> str:
        """Task and method, for progress and messages."""
        return f"{self.runs[0].task.name}, {self.runs[0].method}"

    @property
    def is_finished(self) -> bool:
        """Whether every run ended well."""
        return all(run.is_finished for run in self.runs)


# Called before and after each run.
Watch = Callable[[ComparedRun], None]


def make_groups(config: CompareConfig) -> list[RunGroup]:
    """Every group of a comparison; the reference comes first in each task."""
    methods = sorted(config.methods.names, key=lambda name: name != REFERENCE)
    return [_make_group(config, task, method) for task in config.tasks.tasks for method in methods]


def _make_group(config: CompareConfig, task: ComparedTask, method: str) -> RunGroup:
    folder = config.folder / task.folder / method
    return RunGroup(tuple(ComparedRun(task, method, seed, folder / f"seed-{seed}") for seed in config.run_seeds))


def make_run_config(config: CompareConfig, run: ComparedRun, *, rate: float | None = None) -> RunConfig:
    """Make the settings of one run from those of the comparison.

    Args:
        config: of the comparison.
        run: of the comparison.
        rate: the learning rate that the first seed chose, for search and training; None lets the run choose.

    Raises:
        PeftSearchError: as for any run.
    """
    method = config.methods.method_of(run.method)
    data_dir = config.data_dir if run.task.settings.get("task") else None
    rates = [rate] if rate else config.rates
    training = asdict(config.training) | ({"learning_rate": rates[0]} if len(rates) == 1 else {})
    return make_config(
        {
            "model": config.model,
            "data_dir": data_dir,
            "max_train_samples": config.max_train_samples,
            "max_eval_samples": config.max_eval_samples,
            **run.task.settings,
            "budget": "" if method in WITHOUT_BUDGET else config.budget,
            "space": config.methods.space_of(run.method) or config.space,
            "method": {"name": method, **config.methods.settings_of(run.method)},
            "configuration": None if METHODS[method].is_search else _configuration_of(run, method),
            "output": str(run.folder),
            "mirror": copy_of(config, run).url,
            "seed": run.seed,
            "baseline": False,
            "learning_rate_grid": config.learning_rate_grid if len(rates) > 1 else "",
            "resume": run.folder.exists(),
            "verify": config.verify,
            "training": training,
        }
    )


def copy_of(config: CompareConfig, run: ComparedRun) -> Mirror:
    """The copy of a run's folder below that of the comparison."""
    return config.copy.below(run.part)


def bring_runs(config: CompareConfig, runs: Iterable[ComparedRun]) -> None:
    """Bring the runs that are not finished here, and that another machine has gone on with.

    Raises:
        StorageError: if the copy cannot be read.
    """
    for run in runs:
        if not run.is_finished:
            copy_of(config, run).bring()


def _configuration_of(run: ComparedRun, method: str) -> str:
    """Uniform LoRA from its file, other manual methods by name."""
    return str(run.folder.parent / "uniform.json") if run.method == REFERENCE else method


def run_group(config: CompareConfig, group: RunGroup, *, before: Watch, after: Watch) -> None:
    """Do the unfinished runs of a group; a failing one is recorded and the others go on.

    With several learning rates the first seed chooses the rate of the others, but for races, which each try rates in
    their own way; if it fails, they fail too.

    Args:
        config: of the comparison.
        group: may be partly finished.
        before: called before each run.
        after: called after each run, finished or failed.
    """
    first = group.runs[0]
    for run in group.runs:
        if run.is_finished:
            continue
        before(run)
        if run is not first and _first_chooses(config, run) and not first.is_finished:
            record_failure(run, f"Seed {first.seed}, which chooses the learning rate, failed. See '{first.folder}'.")
        else:
            _run_one(config, run, first)
        if run.failure.is_file():
            copy_of(config, run).send()
        after(run)


def _first_chooses(config: CompareConfig, run: ComparedRun) -> bool:
    """Whether the first seed of a method on a task chooses the rate of the others: a race without rates is no race."""
    is_race = METHODS[config.methods.method_of(run.method)].driver is Driver.RACE
    return config.first_seed_chooses and not is_race


def _run_one(config: CompareConfig, run: ComparedRun, first: ComparedRun) -> None:
    rate = first.read_results().learning_rate if run is not first and _first_chooses(config, run) else None
    try:
        settings = make_run_config(config, run, rate=rate)
        run.failure.unlink(missing_ok=True)
        if run.method == REFERENCE:
            _write_uniform_lora(config, run)
        run_search(settings) if METHODS[settings.method_name].is_search else run_train(settings)
    except PeftSearchError as error:
        record_failure(run, str(error))
    except Exception as error:  # whatever one method does, the comparison goes on
        record_failure(run, f"{type(error).__name__}: {error}", details=traceback.format_exc())


def record_failure(run: ComparedRun, error: str, *, details: str = "") -> None:
    """Write why a run failed; the next call of the comparison tries it again."""
    logger.warning("%s failed: %s", run.name, error)
    write_json(run.failure, {"error": error, "details": details})


def _write_uniform_lora(config: CompareConfig, run: ComparedRun) -> None:
    """Write the configuration of the largest uniform LoRA within the budget.

    Raises:
        BudgetError: if the budget holds no LoRA.
    """
    sketch = sketch_model(config.model)
    budget = Budget.parse(config.budget).parameters(sketch.backbone_parameters)
    configuration = baseline_lora(find_sites(sketch.model), budget)
    if configuration is None:
        raise BudgetError(f"The budget of {budget:,} parameters holds no LoRA module. Raise --budget.")
    run.folder.mkdir(parents=True, exist_ok=True)
    configuration.save(Path(_configuration_of(run, REFERENCE)))


def read_score(config: CompareConfig, run: ComparedRun) -> RunScore:
    """Read the score of a finished run or the error of a failed one; an unfinished run has neither."""
    entry, space = METHODS[config.methods.method_of(run.method)], config.methods.space_of(run.method)
    known = {
        "task": run.task.name,
        "method": run.method,
        "seed": run.seed,
        "space": space or config.space or entry.space if entry.is_search else None,
        "folder": run.folder.relative_to(config.folder).as_posix(),
    }
    if run.is_finished:
        results = run.read_results()
        loss = None if run.task.settings.get("metric") else results.validation_loss
        return RunScore(**known, **_measured(results, is_search=entry.is_search), validation_loss=loss)
    return RunScore(**known, error=read_json(run.failure)["error"] if run.failure.is_file() else None)


def _measured(results: Results, *, is_search: bool) -> dict[str, Any]:
    return {
        "parameters": results.parameters,
        "metric": results.metric,
        "validation": results.validation.value,
        "test": results.test.value,
        "learning_rate": results.learning_rate,
        "search_seconds": results.seconds.search if is_search else None,
        "train_seconds": results.seconds.train,
    }


def count_done(groups: Iterable[RunGroup]) -> int:
    """Number of runs that have ended, well or not."""
    return sum(run.is_done for group in groups for run in group.runs)
