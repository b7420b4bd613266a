"""What was trained, and how well: learning curves, and scores against parameters."""

from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import MaxNLocator

from peftsearch.report.charts import INK, Chart, legend_below, new_chart, parameter_axis, style_of
from peftsearch.report.run.record import TRAININGS, RunRecord


@dataclass(frozen=True)
class Entry:
    """A configuration that was trained over seeds.

    Args:
        name: what it is.
        series: what it is one of, such as a Pareto front.
        parameters: trained, task head excluded.
        modules: how many.
        scores: `validation` and `test` of `results.json`.
        learning_rate: of its trainings.
        seconds: mean of one training; None where it was not noted.
    """

    name: str
    series: str
    parameters: int
    modules: int
    scores: dict[str, dict[str, Any]]
    learning_rate: float
    seconds: float | None


def entries(record: RunRecord) -> list[Entry]:
    """What was found first, then the baselines, then the rest of a Pareto front."""
    results = record.results
    if not results:
        return []
    own = results | {"seconds": results["seconds"]["train"]}
    name = f"searched ({results['method']})" if results["space"] else results["method"]
    alone = [(name, own), ("uniform LoRA", results["baseline"]), ("random", results.get("random_baseline"))]
    found = [_entry(name, name, row) for name, row in alone if row]
    return found + [_entry(row["folder"], "Pareto front", row) for row in results.get("pareto", [])]


def _entry(name: str, series: str, row: dict[str, Any]) -> Entry:
    return Entry(name, series, row["parameters"], row["modules"], row, row["learning_rate"], row.get("seconds"))


def score_chart(record: RunRecord) -> Chart | None:
    """Test score against parameters of everything that was trained; None for less than two."""
    found = entries(record)
    if len(found) < 2:
        return None
    metric = record.results["metric"].replace("_", " ")
    figure, axis = new_chart()
    series = list(dict.fromkeys(entry.series for entry in found))
    for entry in found:
        test, style, label = entry.scores["test"], style_of(series.index(entry.series)), f"_{entry.name}"
        axis.errorbar(entry.parameters, test["value"], test["std"] or 0, capsize=4, label=label, **style)
        seeds = test["per_seed"]
        axis.plot([entry.parameters] * len(seeds), seeds, ".", color=style["color"], markersize=3)
    for i, name in enumerate(series):
        axis.plot([], [], linestyle="none", label=name, **style_of(i))
    if record.results["budget"]:
        budget = record.results["budget"]["parameters"]
        axis.axvline(budget, color=INK, linestyle="--", linewidth=1, label=f"budget {budget:,}")
    axis.set(xlabel="parameters", ylabel=f"test {metric}")
    axis.margins(x=0.15, y=0.15)
    parameter_axis(axis, "x", [float(entry.parameters) for entry in found if entry.parameters])
    legend_below(figure, axis)
    rows = tuple((e.name, f"{e.parameters:,}", text_of(e.scores["test"])) for e in found)
    note = "Means and sample deviations over seeds; small dots are single seeds."
    return Chart(
        "scores", "Score for parameters", figure, ("configuration", "parameters", f"test {metric}"), rows, note
    )


def text_of(score: dict[str, Any]) -> str:
    """A mean, with its deviation if there is one."""
    return f"{score['value']:.2f}" + ("" if score["std"] is None else f" ± {score['std']:.2f}")


def training_charts(record: RunRecord) -> tuple[Chart, ...]:
    """Loss and validation score over the steps of every training."""
    metrics = [key for rows in record.training_logs.values() for row in rows for key in row if "validation_" in key]
    wanted = f"validation_{record.results.get('selection_metric')}"
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
    is_searched = record.results["space"] if record.is_finished else record.search_log or record.trials
    return "trained" if group == "training" and not is_searched else TRAININGS[group]


def _ends(points: list[tuple[int, float]]) -> tuple[str, str, str, str]:
    values = [value for _, value in points]
    return tuple(f"{value:.3f}" for value in (values[0], min(values), max(values), values[-1]))
