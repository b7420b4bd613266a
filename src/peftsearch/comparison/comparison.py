"""Compare methods: check everything, do the unfinished runs, and keep the table up to date."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peftsearch.comparison.config import (
    REFERENCE,
    SETTINGS_FILE,
    CompareConfig,
    check_same_comparison,
)
from peftsearch.comparison.progress import ComparisonProgress
from peftsearch.comparison.runs import (
    ComparedRun,
    RunGroup,
    bring_runs,
    copy_of,
    make_groups,
    make_run_config,
    read_score,
)
from peftsearch.comparison.workers import run_here, run_on_ray
from peftsearch.environment import refuse_several_processes
from peftsearch.errors import DataError, RunFolderError
from peftsearch.files import write_json, write_text
from peftsearch.report.comparison.page import write_comparison
from peftsearch.report.comparison.table import Comparison, ComparisonFacts
from peftsearch.report.comparison.text import as_csv, as_markdown, as_text
from peftsearch.run.config import RunConfig
from peftsearch.run.data_request import request_of
from peftsearch.run.folder import alone_in, check_copy, make_run_folder, read_json
from peftsearch.run.plan import Plan, plan
from peftsearch.searches.method import METHODS
from peftsearch.space.presets import DEFAULT_SPACE
from peftsearch.tasks.class_weights import balanced_weights
from peftsearch.tasks.load import load_task
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.task import Task
from peftsearch.training.trackers import check_tracker
from peftsearch.training.workers import import_ray

TABLE = "comparison.json"


@dataclass(frozen=True)
class ValidatedComparison:
    """A comparison that has passed every check: its runs, the sizes of model and budget, and the splits.

    Args:
        config: its settings.
        groups: every group of runs.
        plan: sizes of model and budget.
        splits: task -> the rule and the sizes of its splits.
    """

    config: CompareConfig
    groups: list[RunGroup]
    plan: Plan
    splits: dict[str, str]

    @classmethod
    def of(cls, config: CompareConfig) -> "ValidatedComparison":
        """Check the folder, every run's settings, the model, the budget and the data.

        Raises:
            PeftSearchError: for the first thing that is wrong; nothing has been written.
        """
        refuse_several_processes("a comparison")
        check_same_comparison(config)
        check_copy(config.copy)
        check_tracker(config.training.report_to)
        if config.workers > 1:
            import_ray()
        groups = make_groups(config)
        configs = [make_run_config(config, run) for group in groups for run in group.runs]
        spaces = [each.space_name for each in configs if METHODS[each.method_name].is_search]
        sizes = plan(config.model, space=spaces[0] if spaces else DEFAULT_SPACE, budget=config.budget, batches=None)
        firsts = {group.runs[0].task.name: group.runs[0] for group in groups}
        tasks = {name: _load_task(make_run_config(config, run)) for name, run in firsts.items()}
        _check_metrics(tasks)
        if config.training.class_weights == "balanced":
            for task in tasks.values():
                balanced_weights(task)
        return cls(config, groups, sizes, {name: _describe_split(task) for name, task in tasks.items()})

    @property
    def runs(self) -> list[ComparedRun]:
        """Every run, group by group."""
        return [run for group in self.groups for run in group.runs]


def _load_task(settings: RunConfig) -> Task:
    return load_task(request_of(settings))


def _check_metrics(tasks: Mapping[str, Task]) -> None:
    """Refuse to average losses, and errors in the units of their labels, with anything else.

    Raises:
        DataError: if there are several tasks, and one is scored by such an error.
    """
    metrics = {name: task.reported_metric for name, task in tasks.items()}
    errors = [f"{metric} of {name}" for name, metric in metrics.items() if METRICS[metric].lower_is_better]
    if errors and len(tasks) > 1:
        shown = ", ".join(errors)
        raise DataError(
            f"A comparison averages the scores of its {len(tasks)} tasks, but {shown} is in a unit of its own. Give "
            "the task a metric in percent, such as `metric: pearson,rmse` or `metric: chrf`, or compare on it alone."
        )


def _describe_split(task: Task) -> str:
    sizes = ", ".join(f"{len(examples):,} {name}" for name, examples in task.splits.items())
    return f"{task.split_rule} ({sizes} examples)."


def run_compare(config: CompareConfig) -> Comparison:
    """Do every unfinished run; write the table at the start, after each group and when interrupted.

    Returns:
        the comparison; runs that failed are in it. See docs/compare.md for the files.

    Raises:
        PeftSearchError: for the first thing that is wrong, before a run starts.
    """
    checked = ValidatedComparison.of(config)
    with alone_in(config.folder):
        if not config.overwrite:
            config.copy.fetch_files([SETTINGS_FILE, TABLE])
        check_same_comparison(config)
        return _compare(checked)


def _compare(checked: ValidatedComparison) -> Comparison:
    config = checked.config
    _start(checked)
    files = ComparisonFiles(checked)
    run_groups = run_here if config.workers == 1 else run_on_ray
    waiting = [group for group in checked.groups if not group.is_finished]
    files.write()
    try:
        with ComparisonProgress(checked.groups) as progress:
            run_groups(config, waiting, progress, files.write)
    finally:
        files.write()
    return files.read()


def read_comparison(folder: Path) -> Comparison:
    """Read the comparison in a folder, as it was written last.

    Raises:
        RunFolderError: if it cannot be read.
    """
    document = read_json(folder / TABLE)
    try:
        return Comparison.from_dict(document)
    except (KeyError, TypeError) as error:
        raise RunFolderError(f"'{folder / TABLE}' is not one of a comparison: {error}. Run it again.") from error


def describe(config: CompareConfig) -> str:
    """Describe in a few lines the comparison that would be run, after every check.

    Raises:
        PeftSearchError: as the comparison would.
    """
    checked = ValidatedComparison.of(config)
    finished = 0 if config.overwrite else sum(run.is_finished for run in checked.runs)
    lines = [
        f"model     {config.model}: {checked.plan.backbone_parameters:,} parameters",
        f"budget    {config.budget}: {checked.plan.budget_parameters:,} parameters",
        f"methods   {', '.join(config.methods.names)} (reference: {REFERENCE})",
        *(f"task      {task}: {split}" for task, split in checked.splits.items()),
        f"runs      {len(checked.runs)}, seeds {', '.join(map(str, config.run_seeds))}; {finished} finished",
        f"workers   {config.workers}, {config.num_threads} threads each",
        f"output    {config.folder}",
    ]
    return "\n".join(lines)


def _start(checked: ValidatedComparison) -> None:
    """Make the folder, and forget earlier failures: they are tried again."""
    config = checked.config
    make_run_folder(config.folder, resume=not config.overwrite)
    if not config.overwrite:
        bring_runs(config, checked.runs)
    write_text(config.folder / SETTINGS_FILE, config.to_yaml())
    for run in checked.runs:
        run.failure.unlink(missing_ok=True)
    if config.overwrite:
        config.copy.send()
    else:
        _complete_copy(checked)


def _complete_copy(checked: ValidatedComparison) -> None:
    """Send the settings, and the finished runs that the copy lacks."""
    config = checked.config
    there = set(config.copy.names())
    config.copy.send_files([config.folder / SETTINGS_FILE])
    for run in checked.runs:
        if run.is_finished and f"{run.part}/{run.results.name}" not in there:
            copy_of(config, run).send()


class ComparisonFiles:
    """Writes the tables and the page of a comparison, after every group of runs.

    Args:
        checked: the comparison.
    """

    def __init__(self, checked: ValidatedComparison):
        self.checked = checked
        path = checked.config.folder / TABLE
        self._seconds_before = read_json(path)["facts"]["wall_seconds"] if path.is_file() else 0.0
        self._started = time.perf_counter()

    def read(self) -> Comparison:
        """Read the scores that the run folders hold so far."""
        return Comparison.of(self._facts(), [read_score(self.checked.config, run) for run in self.checked.runs])

    def write(self) -> None:
        """Write the table as JSON, text, Markdown, CSV and HTML."""
        comparison, folder = self.read(), self.checked.config.folder
        write_json(folder / TABLE, comparison.to_dict())
        for suffix, render in _FORMS.items():
            write_text(folder / f"comparison.{suffix}", render(comparison))
        write_comparison(comparison, folder)
        self.checked.config.copy.send_files([*folder.glob("comparison.*")])
        self.checked.config.copy.below("figures").send()

    def _facts(self) -> ComparisonFacts:
        config, sizes = self.checked.config, self.checked.plan
        return ComparisonFacts(
            model=config.model,
            backbone_parameters=sizes.backbone_parameters,
            budget=config.budget,
            budget_parameters=sizes.budgets[config.budget.strip()],
            reference=REFERENCE,
            outside_budget=tuple(row for row in config.methods.names if config.methods.method_of(row) == "full"),
            tasks=tuple(task.name for task in config.tasks.tasks),
            seeds=tuple(config.run_seeds),
            learning_rates=tuple(config.rates),
            splits=self.checked.splits,
            wall_seconds=self._seconds_before + time.perf_counter() - self._started,
        )


_FORMS = {"txt": as_text, "md": as_markdown, "csv": as_csv}
