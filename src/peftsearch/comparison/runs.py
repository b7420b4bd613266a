"""The runs of a comparison: a cell is one (task, method, seed), a unit all seeds of one task and method in order."""

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
from peftsearch.models.discover import find_sites
from peftsearch.models.load import count_backbone_parameters, empty_model
from peftsearch.report.comparison.table import CellResult
from peftsearch.run.config import RunConfig, make_config
from peftsearch.run.folder import read_json
from peftsearch.run.pipeline import run_search, run_train
from peftsearch.searches.method import METHODS
from peftsearch.space.budget import Budget

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One run of a comparison.

    Args:
        task: what it is run on.
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
        """For progress and messages."""
        return f"{self.task.name}, {self.method}, seed {self.seed}"

    @property
    def results(self) -> Path:
        """The file that a finished run leaves."""
        return self.folder / "results.json"

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
class Unit:
    """A method on a task with its seeds in order, since the first seed may choose the learning rate of the others."""

    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """For progress and messages."""
        return f"{self.cells[0].task.name}, {self.cells[0].method}"


# Called before and after each cell.
Watch = Callable[[Cell], None]


def make_units(config: CompareConfig) -> list[Unit]:
    """Every unit of a comparison; the reference comes first in each task."""
    methods = sorted(config.methods.names, key=lambda name: name != REFERENCE)
    return [_make_unit(config, task, method) for task in config.tasks.tasks for method in methods]


def _make_unit(config: CompareConfig, task: ComparedTask, method: str) -> Unit:
    folder = config.folder / task.folder / method
    return Unit(tuple(Cell(task, method, seed, folder / f"seed-{seed}") for seed in config.run_seeds))


def run_settings(config: CompareConfig, cell: Cell, *, rate: float | None = None) -> RunConfig:
    """The settings of a cell's run.

    Args:
        rate: the learning rate that the first seed chose, for search and training; None lets the run choose.

    Raises:
        PeftSearchError: as for any run.
    """
    is_search = METHODS[cell.method].is_search
    data_dir = config.data_dir if cell.task.settings.get("task") else None
    rates = [rate] if rate else config.rates
    training = asdict(config.training) | ({"learning_rate": rates[0]} if len(rates) == 1 else {})
    settings = {
        "model": config.model,
        "data_dir": data_dir,
        "max_train_samples": config.max_train_samples,
        **cell.task.settings,
        "budget": "" if cell.method in WITHOUT_BUDGET else config.budget,
        "space": config.space,
        "method": {"name": cell.method, **config.methods.settings_of(cell.method)},
        "configuration": None if is_search else _configuration_of(cell),
        "output": str(cell.folder),
        "seed": cell.seed,
        "baseline": False,
        "learning_rate_grid": config.learning_rate_grid if len(rates) > 1 else "",
        "resume": cell.folder.exists(),
        "verify": config.verify,
        "training": training,
    }
    return make_config(settings)


def _configuration_of(cell: Cell) -> str:
    """Uniform LoRA from its file, other manual methods by name."""
    return str(cell.folder.parent / "uniform.json") if cell.method == REFERENCE else cell.method


def run_unit(config: CompareConfig, unit: Unit, *, before: Watch, after: Watch) -> None:
    """Run the cells that are not finished; a failing one is recorded and the others go on.

    With several learning rates the others need the first seed's choice, and fail with it.
    """
    first = unit.cells[0]
    for cell in unit.cells:
        if cell.is_finished:
            continue
        before(cell)
        if cell is not first and len(config.rates) > 1 and not first.is_finished:
            record_failure(cell, f"Seed {first.seed}, which chooses the learning rate, failed. See '{first.folder}'.")
        else:
            _run_cell(config, cell, first)
        after(cell)


def _run_cell(config: CompareConfig, cell: Cell, first: Cell) -> None:
    rate = read_json(first.results)["learning_rate"] if cell is not first and len(config.rates) > 1 else None
    try:
        run = run_settings(config, cell, rate=rate)
        cell.failure.unlink(missing_ok=True)
        if cell.method == REFERENCE:
            _write_uniform_lora(config, cell)
        run_search(run) if METHODS[cell.method].is_search else run_train(run)
    except PeftSearchError as error:
        record_failure(cell, str(error))
    except Exception as error:  # whatever one method does, the comparison goes on
        record_failure(cell, f"{type(error).__name__}: {error}", details=traceback.format_exc())


def record_failure(cell: Cell, error: str, *, details: str = "") -> None:
    """Note why a cell failed; running the comparison again tries it again."""
    logger.warning("%s failed: %s", cell.name, error)
    write_json(cell.failure, {"error": error, "details": details})


def _write_uniform_lora(config: CompareConfig, cell: Cell) -> None:
    """Write the reference's configuration.

    Raises:
        BudgetError: if the budget holds no LoRA.
    """
    model = empty_model(config.model)
    budget = Budget.parse(config.budget).parameters(count_backbone_parameters(model))
    configuration = baseline_lora(find_sites(model), budget)
    if configuration is None:
        raise BudgetError(f"The budget of {budget:,} parameters holds no LoRA module. Raise --budget.")
    cell.folder.mkdir(parents=True, exist_ok=True)
    configuration.save(Path(_configuration_of(cell)))


def read_cell(config: CompareConfig, cell: Cell) -> CellResult:
    """What is known of a cell by now."""
    is_search = METHODS[cell.method].is_search
    known = {
        "task": cell.task.name,
        "method": cell.method,
        "seed": cell.seed,
        "space": config.space or METHODS[cell.method].space if is_search else None,
        "folder": cell.folder.relative_to(config.folder).as_posix(),
    }
    if cell.is_finished:
        return CellResult(**known, **_measured(read_json(cell.results), is_search=is_search))
    return CellResult(**known, error=read_json(cell.failure)["error"] if cell.failure.is_file() else None)


def _measured(results: dict[str, Any], *, is_search: bool) -> dict[str, Any]:
    return {
        "parameters": results["parameters"],
        "metric": results["metric"],
        "validation": results["validation"]["value"],
        "test": results["test"]["value"],
        "learning_rate": results["learning_rate"],
        "search_seconds": results["seconds"]["search"] if is_search else None,
        "train_seconds": results["seconds"]["train"],
    }


def count_done(units: Iterable[Unit]) -> int:
    """Cells that have ended, well or not."""
    return sum(cell.is_done for unit in units for cell in unit.cells)
