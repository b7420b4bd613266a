"""The pictures of a comparison: scores by method, against parameters and against the cost of the search."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from matplotlib.axes import Axes

from peftsearch.report.charts import COLOURS, INK, MUTED, Chart, legend_below, new_chart, parameter_axis, style_of
from peftsearch.report.comparison.table import Comparison, MethodRow, RunScore, TaskScore, metric_of_runs
from peftsearch.report.wording import with_deviation, with_direction
from peftsearch.tasks.metric_registry import Metric


def overview_charts(comparison: Comparison) -> tuple[Chart, ...]:
    """Averages over the tasks against size and cost; none while no method has finished every task."""
    rows = [row for row in comparison.rows if row.average is not None and row.parameters]
    if not rows:
        return ()
    found = (_against_parameters(comparison, rows), _against_cost(comparison, rows))
    return tuple(chart for chart in found if chart)


def averages(comparison: Comparison, method: str) -> list[float]:
    """For each seed with a score on every task, the average over the tasks."""
    by_seed: dict[int, list[float]] = defaultdict(list)
    for run in comparison.runs:
        if run.method == method and run.test is not None:
            by_seed[run.seed].append(run.test)
    return [fmean(found) for found in by_seed.values() if len(found) == len(comparison.facts.tasks)]


def search_cost(row: MethodRow) -> float:
    """Mean time of a search over that of a training; 0 without a search."""
    return (row.search_seconds or 0.0) / row.train_seconds if row.train_seconds else 0.0


def _against_parameters(comparison: Comparison, rows: Sequence[MethodRow]) -> Chart:
    budget = comparison.facts.budget_parameters
    figure, axis = new_chart(height=4.0)
    _draw(comparison, axis, rows, lambda row: float(row.parameters or 0))
    axis.axvline(budget, color=INK, linestyle="--", linewidth=1, label=f"budget {budget:,}")
    axis.set(xlabel="parameters", ylabel=_average_label(comparison))
    parameter_axis(axis, "x", [float(row.parameters or 0) for row in rows])
    legend_below(figure, axis)
    note = "Averages over the tasks, with sample deviations of that average over seeds."
    table = tuple((row.method, f"{row.parameters:,}", _average(comparison, row)) for row in rows)
    header = ("method", "parameters", "average test score")
    return Chart("parameters", "Score for parameters", figure, header, table, note)


def _against_cost(comparison: Comparison, rows: Sequence[MethodRow]) -> Chart | None:
    searched = [row for row in rows if row.search_seconds is not None]
    if not searched:
        return None
    figure, axis = new_chart(height=4.0)
    _draw(comparison, axis, searched, search_cost)
    for row in rows:
        if row.method == comparison.facts.reference and row.average is not None:
            axis.axhline(row.average, color=INK, linestyle="--", linewidth=1, label=f"{row.method}, no search")
    axis.set(xlabel="search, in trainings of its result", ylabel=_average_label(comparison))
    legend_below(figure, axis)
    note = "Wall time of the search over that of one training, of the methods that search."
    table = tuple((row.method, f"{search_cost(row):.2f}", _average(comparison, row)) for row in searched)
    header = ("method", "search cost", "average test score")
    return Chart("cost", "Score for search cost", figure, header, table, note)


def _average_label(comparison: Comparison) -> str:
    metric = comparison.metric
    return f"average test {with_direction(metric.name)}" if metric.lower_is_better else "average test score"


def _draw(comparison: Comparison, axis: Axes, rows: Sequence[MethodRow], x: Callable[[MethodRow], float]) -> None:
    names = sorted(row.method for row in comparison.rows)
    for row in rows:
        found = averages(comparison, row.method)
        spread = stdev(found) if len(found) > 1 else 0.0
        style = style_of(names.index(row.method))
        average = math.nan if row.average is None else row.average
        axis.errorbar(x(row), average, spread, capsize=3, linestyle="none", label=row.method, **style)
    axis.margins(0.12)


def _average(comparison: Comparison, row: MethodRow) -> str:
    found = averages(comparison, row.method)
    return with_deviation(comparison.metric.name, row.average or 0.0, stdev(found) if len(found) > 1 else None)


def task_chart(comparison: Comparison, number: int) -> Chart | None:
    """Every method's scores on a task, the best at the top; None before the first score."""
    task = comparison.facts.tasks[number]
    metric = _metric_on(comparison, task)
    scored = [row for row in comparison.rows if task in row.scores]
    rows = sorted(scored, key=lambda row: metric.merit(row.scores[task].mean))
    if not rows:
        return None
    figure, axis = new_chart(height=1.0 + 0.24 * len(rows))
    for y, row in enumerate(rows):
        score, is_reference = row.scores[task], row.method == comparison.facts.reference
        colour, marker = (COLOURS[1], "s") if is_reference else (COLOURS[0], "o")
        axis.errorbar(score.mean, y, xerr=score.std or 0.0, fmt=marker, color=colour, capsize=3)
        seeds = [run.test for run in runs_of(comparison, task, row.method) if run.test is not None]
        axis.plot(seeds, [y] * len(seeds), "|", color=MUTED, markersize=7)
    axis.set_yticks(range(len(rows)), [row.method for row in rows])
    axis.set(xlabel=f"test {metric_of(comparison, task)}")
    table = tuple((row.method, _of_task(metric, row.scores[task])) for row in reversed(rows))
    note = f"Means and sample deviations; bars are single seeds. The square is {comparison.facts.reference}."
    return Chart(f"task-{number}", f"Scores on {task}", figure, ("method", "test score"), table, note)


def _of_task(metric: Metric, score: TaskScore) -> str:
    return with_deviation(metric.name, score.mean, score.std)


def _metric_on(comparison: Comparison, task: str) -> Metric:
    return metric_of_runs(run for run in comparison.runs if run.task == task)


def runs_of(comparison: Comparison, task: str, method: str) -> list[RunScore]:
    """The runs of a method on a task."""
    return [run for run in comparison.runs if run.task == task and run.method == method]


def metric_of(comparison: Comparison, task: str) -> str:
    """Name of a task's metric in words."""
    found = [run.metric for run in comparison.runs if run.task == task and run.metric]
    return with_direction(found[0]) if found else "score"
