"""Charts of trainings: learning curves, and scores against parameters."""

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from peftsearch.report.charts import INK, Chart, legend_below, new_chart, parameter_axis, style_of
from peftsearch.report.results import FrontEntry, RandomBaseline, Results, UniformBaseline
from peftsearch.report.run.record import TRAININGS, RunRecord
from peftsearch.report.wording import in_words


@dataclass(frozen=True)
class TrainedEntry:
    """A configuration that was trained over seeds.

    Args:
        name: of the configuration in tables.
        series: the group that it is drawn with, such as a Pareto front.
        trained: its sizes, learning rate and scores.
        seconds: mean of one training; None where it was not noted.
    """

    name: str
    series: str
    trained: Results | UniformBaseline | RandomBaseline | FrontEntry
    seconds: float | None


def entries(results: Results) -> list[TrainedEntry]:
    """Trained configurations in order: the found one, the baselines, the rest of a Pareto front."""
    name = f"searched ({results.method})" if results.space else results.method
    baselines = (("uniform LoRA", results.baseline), ("random", results.random_baseline))
    return [
        TrainedEntry(name, name, results, results.seconds.train),
        *(TrainedEntry(name, name, found, found.seconds) for name, found in baselines if found),
        *(TrainedEntry(found.folder, "Pareto front", found, None) for found in results.pareto),
    ]


def score_chart(results: Results) -> Chart | None:
    """Draw test score against parameters of every trained configuration; None for less than two."""
    found = entries(results)
    if len(found) < 2:
        return None
    figure, axis = new_chart()
    series = list(dict.fromkeys(entry.series for entry in found))
    for entry in found:
        _draw_entry(axis, entry, style_of(series.index(entry.series)))
    for i, name in enumerate(series):
        axis.plot([], [], linestyle="none", label=name, **style_of(i))
    if results.budget:
        budget = results.budget.parameters
        axis.axvline(budget, color=INK, linestyle="--", linewidth=1, label=f"budget {budget:,}")
    score = f"test {in_words(results.metric)}"
    axis.set(xlabel="parameters", ylabel=score)
    axis.margins(x=0.15, y=0.15)
    parameter_axis(axis, "x", [float(entry.trained.parameters) for entry in found if entry.trained.parameters])
    legend_below(figure, axis)
    rows = tuple((entry.name, f"{entry.trained.parameters:,}", entry.trained.test.text) for entry in found)
    note = "Means and sample deviations over seeds; small dots are single seeds."
    return Chart("scores", "Score for parameters", figure, ("configuration", "parameters", score), rows, note)


def _draw_entry(axis: Axes, entry: TrainedEntry, style: dict[str, Any]) -> None:
    parameters, test = entry.trained.parameters, entry.trained.test
    axis.errorbar(parameters, test.value, test.std or 0, capsize=4, label=f"_{entry.name}", **style)
    axis.plot([parameters] * len(test.per_seed), test.per_seed, ".", color=style["color"], markersize=3)


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
    groups = [group for group in TRAININGS if any(folder.startswith(f"{group}/") for folder in curves)]
    for folder, points in curves.items():
        group = folder.split("/")[0]
        label = None if group in labelled else _label(record, group)
        labelled.add(group)
        axis.plot(*zip(*points), label=label, linewidth=1, markersize=3, **style_of(groups.index(group)))
    axis.set(xlabel="step", ylabel=title.lower())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, axis)
    rows = tuple(
        (f"{_label(record, folder.split('/')[0])}, {folder.split('/')[1].replace('-', ' ')}", *_ends(points))
        for folder, points in curves.items()
    )
    note = "A line is one training." if len(curves) > 1 else ""
    return Chart(name, title, figure, ("training", "first", "lowest", "highest", "last"), rows, note)


def _label(record: RunRecord, group: str) -> str:
    is_searched = record.results.space if record.results else record.search_log or record.trials
    return "trained" if group == "training" and not is_searched else TRAININGS[group]


def _ends(points: list[tuple[int, float]]) -> tuple[str, ...]:
    values = [value for _, value in points]
    return tuple(f"{value:.3f}" for value in (values[0], min(values), max(values), values[-1]))
