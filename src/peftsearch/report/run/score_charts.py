"""Charts of trainings: learning curves, and scores against parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from peftsearch.report.charts import INK, Chart, legend_below, new_chart, parameter_axis, style_of
from peftsearch.report.result_parts import (
    FrontEntry,
    HandBaseline,
    LadderStep,
    RandomBaseline,
    SeedScores,
    UniformBaseline,
)
from peftsearch.report.results import Results
from peftsearch.report.run.record import RunRecord, label_of
from peftsearch.report.wording import with_direction

_UNIFORM, _FRONT = "uniform LoRA", "Pareto front"


@dataclass(frozen=True)
class TrainedEntry:
    """A configuration that was trained over seeds.

    Args:
        name: of the configuration in tables.
        series: the group that it is drawn with, such as a Pareto front.
        parameters: trained, task head excluded.
        modules: how many.
        learning_rate: of its trainings.
        validation: scores on the validation split.
        test: scores on the test split.
        seconds: mean of one training; None where it was not noted.
    """

    name: str
    series: str
    parameters: int
    modules: int
    learning_rate: float
    validation: SeedScores
    test: SeedScores
    seconds: float | None

    @classmethod
    def of(
        cls,
        found: Results | UniformBaseline | HandBaseline | RandomBaseline | FrontEntry,
        name: str,
        series: str,
        *,
        seconds: float | None = None,
    ) -> "TrainedEntry":
        """Take sizes, rate and scores from a part of the results."""
        sizes = (found.parameters, found.modules, found.learning_rate)
        return cls(name, series, *sizes, found.validation, found.test, seconds)


def entries(results: Results) -> list[TrainedEntry]:
    """Trained configurations in order: the found one, the baselines, the larger steps of a ladder, a Pareto front."""
    name = f"searched ({results.method})" if results.space else results.method
    baselines = [*((found.name, found) for found in results.hand_baselines), ("random", results.random_baseline)]
    return [
        TrainedEntry.of(results, name, name, seconds=results.seconds.train),
        *(TrainedEntry.of(found, name, name, seconds=found.seconds) for name, found in baselines if found),
        *(entry for step in results.ladder[1:] for entry in _entries_of(step, name)),
        *(TrainedEntry.of(found, found.folder, _FRONT) for found in results.pareto),
    ]


def _entries_of(step: LadderStep, name: str) -> Iterator[TrainedEntry]:
    """A larger step of a ladder and its baseline; nothing where it was not trained."""
    at = f"budget {step.budget:,}"
    if step.validation and step.test and step.learning_rate is not None:
        sizes = (step.parameters, step.modules, step.learning_rate)
        yield TrainedEntry(f"{name}, {at}", name, *sizes, step.validation, step.test, None)
    if step.baseline:
        yield TrainedEntry.of(step.baseline, f"{_UNIFORM}, {at}", _UNIFORM, seconds=step.baseline.seconds)


def score_chart(results: Results) -> Chart | None:
    """Draw test score against parameters of every trained configuration; None for less than two."""
    found = entries(results)
    if len(found) < 2:
        return None
    figure, axis = new_chart()
    series = list(dict.fromkeys(entry.series for entry in found))
    for i, name in enumerate(series):
        members = [entry for entry in found if entry.series == name]
        for entry in members:
            _draw_entry(axis, entry, style_of(i))
        _draw_curve(axis, [] if name == _FRONT else members, label=name, style=style_of(i))
    _draw_budgets(axis, results)
    _draw_choice(axis, results)
    score = f"test {with_direction(results.metric)}"
    axis.set(xlabel="parameters", ylabel=score)
    axis.margins(x=0.15, y=0.15)
    parameter_axis(axis, "x", [float(entry.parameters) for entry in found if entry.parameters])
    legend_below(figure, axis)
    rows = tuple((entry.name, f"{entry.parameters:,}", entry.test.text) for entry in found)
    note = "Means and sample deviations over seeds; small dots are single seeds."
    if results.ladder_choice:
        note = f"{note} The ring is the smallest step within one standard error of the best on validation."
    return Chart("scores", "Score for parameters", figure, ("configuration", "parameters", score), rows, note)


def _draw_entry(axis: Axes, entry: TrainedEntry, style: dict[str, Any]) -> None:
    parameters, test = entry.parameters, entry.test
    axis.errorbar(parameters, test.value, test.std or 0, capsize=4, label=f"_{entry.name}", **style)
    axis.plot([parameters] * len(test.per_seed), test.per_seed, ".", color=style["color"], markersize=3)


def _draw_curve(axis: Axes, members: Sequence[TrainedEntry], *, label: str, style: dict[str, Any]) -> None:
    """Join the steps of a ladder, from the smallest to the largest; with fewer than two, only name the series."""
    points = sorted((entry.parameters, entry.test.value) for entry in members)
    joined = points if len(points) > 1 else []
    axis.plot(
        [parameters for parameters, _ in joined],
        [score for _, score in joined],
        linestyle="-" if joined else "none",
        linewidth=1,
        label=label,
        **style,
    )


def _draw_budgets(axis: Axes, results: Results) -> None:
    if not results.budget:
        return
    budgets = [step.budget for step in results.ladder if step.test] or [results.budget.parameters]
    named = f"budget {budgets[0]:,}" if len(budgets) == 1 else "budgets"
    for i, budget in enumerate(budgets):
        axis.axvline(budget, color=INK, linestyle="--", linewidth=1, label=f"_{budget}" if i else named)


def _draw_choice(axis: Axes, results: Results) -> None:
    """Put a ring around the smallest step of a ladder within one standard error of the best."""
    choice = results.ladder_choice
    for step in results.ladder:
        if choice and step.test and step.budget == choice.budget:
            style = {"markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "linestyle": "none"}
            axis.plot(step.parameters, step.test.value, "o", label="within one standard error", **style)


def training_charts(record: RunRecord) -> tuple[Chart, ...]:
    """Loss and validation score over the steps of every training."""
    metrics = [key for rows in record.training_logs.values() for row in rows for key in row if "validation_" in key]
    wanted = f"validation_{record.results.selection_metric}" if record.results else ""
    metric = wanted if wanted in metrics else next(iter(metrics), "")
    found = (
        _curve(record, "loss", "Training loss", "training-loss"),
        _curve(record, metric, metric.replace("_", " ").capitalize(), "training-validation"),
    )
    return tuple(chart for chart in found if chart)


def _curve(record: RunRecord, key: str, title: str, name: str) -> Chart | None:
    curves = {
        folder: points
        for folder, rows in record.training_logs.items()
        if (points := [(row["step"], row[key]) for row in rows if row.get(key) is not None])
    }
    if not curves:
        return None
    figure, axis = new_chart()
    labelled: set[str] = set()
    groups = list(dict.fromkeys(_group(folder) for folder in curves))
    for folder, points in curves.items():
        group = _group(folder)
        label = None if group in labelled else label_of(record, group)
        labelled.add(group)
        axis.plot(*zip(*points), label=label, linewidth=1, markersize=3, **style_of(groups.index(group)))
    axis.set(xlabel="step", ylabel=title.lower())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, axis)
    rows = tuple(
        (f"{label_of(record, _group(folder))}, {folder.rpartition('/')[2].replace('-', ' ')}", *_ends(points))
        for folder, points in curves.items()
    )
    note = "A line is one training." if len(curves) > 1 else ""
    return Chart(name, title, figure, ("training", "first", "lowest", "highest", "last"), rows, note)


def _group(folder: str) -> str:
    return folder.rpartition("/")[0]


def _ends(points: list[tuple[int, float]]) -> tuple[str, ...]:
    values = [value for _, value in points]
    return tuple(f"{value:.3f}" for value in (values[0], min(values), max(values), values[-1]))
