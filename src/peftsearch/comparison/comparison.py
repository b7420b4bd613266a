"""Compare methods: check everything, run what is missing, and keep the table up to date."""

import time
from dataclasses import dataclass
from pathlib import Path

from peftsearch.comparison.config import REFERENCE, SETTINGS_FILE, CompareConfig, check_same_comparison
from peftsearch.comparison.progress import Progress
from peftsearch.comparison.runs import Unit, make_units, read_cell, run_settings
from peftsearch.comparison.workers import import_ray, run_here, run_on_ray
from peftsearch.errors import RunFolderError
from peftsearch.files import write_json, write_text
from peftsearch.report.comparison.page import write_comparison
from peftsearch.report.comparison.table import Comparison, Facts
from peftsearch.report.comparison.text import as_csv, as_markdown, as_text
from peftsearch.run.config import RunConfig
from peftsearch.run.folder import alone_in, make_run_folder, read_json
from peftsearch.run.plan import Plan, plan
from peftsearch.searches.method import METHODS
from peftsearch.tasks.load import TaskRequest, load_task
from peftsearch.training.trackers import check_tracker

TABLE = "comparison.json"


@dataclass(frozen=True)
class Checked:
    """A comparison of which everything has been checked that can be before the first step.

    Args:
        config: its settings.
        units: what is run.
        plan: sizes of model and budget.
        splits: task -> the rule and the sizes of its splits.
    """

    config: CompareConfig
    units: list[Unit]
    plan: Plan
    splits: dict[str, str]

    @classmethod
    def of(cls, config: CompareConfig) -> "Checked":
        """Check the folder, every run's settings, the model, the budget and the data.

        Raises:
            PeftSearchError: for the first thing that is wrong; nothing has been written.
        """
        check_same_comparison(config)
        check_tracker(config.training.report_to)
        if config.workers > 1:
            import_ray()
        units = make_units(config)
        runs = [run_settings(config, cell) for unit in units for cell in unit.cells]
        spaces = [run.space_name for run in runs if METHODS[run.method_name].is_search]
        sizes = plan(config.model, space=spaces[0] if spaces else "s2", budget=config.budget)
        firsts = {unit.cells[0].task.name: unit.cells[0] for unit in units}
        splits = {name: _describe_split(run_settings(config, cell)) for name, cell in firsts.items()}
        return cls(config, units, sizes, splits)


def _describe_split(run: RunConfig) -> str:
    """Load a run's data and say how it is split."""
    request = TaskRequest(**{name: getattr(run, name) for name in TaskRequest.__dataclass_fields__})
    task = load_task(request)
    sizes = ", ".join(f"{len(examples):,} {name}" for name, examples in task.splits.items())
    return f"{task.split_rule} ({sizes} examples)."


def run_compare(config: CompareConfig) -> Comparison:
    """Run every cell that is not finished; write the table at the start, after each unit and when interrupted.

    Returns:
        the comparison; runs that failed are in it. See docs/compare.md for the files.
    """
    checked = Checked.of(config)
    with alone_in(config.folder):
        check_same_comparison(config)
        return _compare(checked)


def _compare(checked: Checked) -> Comparison:
    config = checked.config
    _start(config, checked.units)
    table = Table(checked)
    run = run_here if config.workers == 1 else run_on_ray
    waiting = [unit for unit in checked.units if not all(cell.is_finished for cell in unit.cells)]
    table.write()
    try:
        with Progress(checked.units) as progress:
            run(config, waiting, progress, table.write)
    finally:
        table.write()
    return table.read()


def read_comparison(folder: Path) -> Comparison:
    """The comparison in a folder, as it was written last.

    Raises:
        RunFolderError: if it cannot be read.
    """
    document = read_json(folder / TABLE)
    try:
        return Comparison.from_dict(document)
    except (KeyError, TypeError) as error:
        raise RunFolderError(f"'{folder / TABLE}' is not one of a comparison: {error}. Run it again.") from error


def describe(config: CompareConfig) -> str:
    """What a comparison would do, after everything has been checked."""
    checked = Checked.of(config)
    cells = [cell for unit in checked.units for cell in unit.cells]
    finished = 0 if config.overwrite else sum(cell.is_finished for cell in cells)
    lines = [
        f"model     {config.model}: {checked.plan.backbone_parameters:,} parameters",
        f"budget    {config.budget}: {checked.plan.budget_parameters:,} parameters",
        f"methods   {', '.join(config.methods.names)} (reference: {REFERENCE})",
        *(f"task      {task}: {split}" for task, split in checked.splits.items()),
        f"runs      {len(cells)}, seeds {', '.join(map(str, config.run_seeds))}; {finished} finished",
        f"workers   {config.workers}, {config.num_threads} threads each",
        f"output    {config.folder}",
    ]
    return "\n".join(lines)


def _start(config: CompareConfig, units: list[Unit]) -> None:
    """Make the folder, and forget earlier failures: they are tried again."""
    make_run_folder(config.folder, resume=not config.overwrite)
    write_text(config.folder / SETTINGS_FILE, config.to_yaml())
    for unit in units:
        for cell in unit.cells:
            cell.failure.unlink(missing_ok=True)


class Table:
    """The files that show a comparison, which any moment may be the last to write.

    Args:
        checked: what is compared.
    """

    def __init__(self, checked: Checked):
        self.checked = checked
        path = checked.config.folder / TABLE
        self._seconds_before = read_json(path)["facts"]["wall_seconds"] if path.is_file() else 0.0
        self._started = time.perf_counter()

    def read(self) -> Comparison:
        """What the run folders hold by now."""
        cells = [read_cell(self.checked.config, cell) for unit in self.checked.units for cell in unit.cells]
        return Comparison.of(self._facts(), cells)

    def write(self) -> None:
        """Write every form of the table."""
        comparison, folder = self.read(), self.checked.config.folder
        write_json(folder / TABLE, comparison.to_dict())
        for suffix, render in _FORMS.items():
            write_text(folder / f"comparison.{suffix}", render(comparison))
        write_comparison(comparison, folder)

    def _facts(self) -> Facts:
        config, sizes = self.checked.config, self.checked.plan
        return Facts(
            model=config.model,
            backbone_parameters=sizes.backbone_parameters,
            budget=config.budget,
            budget_parameters=sizes.budgets[config.budget.strip()],
            reference=REFERENCE,
            outside_budget=("full",),
            tasks=tuple(task.name for task in config.tasks.tasks),
            seeds=tuple(config.run_seeds),
            learning_rates=tuple(config.rates),
            splits=self.checked.splits,
            wall_seconds=self._seconds_before + time.perf_counter() - self._started,
        )


_FORMS = {"txt": as_text, "md": as_markdown, "csv": as_csv}
