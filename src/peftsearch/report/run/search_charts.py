"""Charts of a search over its steps or trials: size, importance, losses, scores."""

from collections.abc import Sequence
from typing import Any, TypeVar

from peftsearch.report.charts import (
    COLOURS,
    INK,
    LINES,
    MUTED,
    Chart,
    legend_below,
    new_chart,
    parameter_axis,
    style_of,
)
from peftsearch.report.run.record import RunRecord, method_of
from peftsearch.report.wording import with_direction, write_score
from peftsearch.searches.method import LoggedNumber, MethodEntry
from peftsearch.tasks.metric_choice import read_metrics
from peftsearch.tasks.metric_registry import METRICS, Metric

NUM_LEADING = 6
# Rows of a table beside a chart of many steps.
NUM_ROWS = 12

Rows = list[dict[str, Any]]
AnyRow = TypeVar("AnyRow")


def search_charts(record: RunRecord) -> tuple[Chart, ...]:
    """Draw the charts that the method's log has numbers for."""
    steps = [row for row in record.search_log if "loss_weights" in row]
    if not steps:
        return ()
    method = method_of(record)
    by = _axis_of(method, steps)
    charted = method.charted if method else ()
    found = (
        _size(record, steps, by),
        _live(steps, by),
        _importance(record, steps, by),
        _losses(steps),
        *(_logged(record, steps, number, COLOURS[3 + i]) for i, number in enumerate(charted)),
    )
    return tuple(chart for chart in found if chart)


def _axis_of(method: MethodEntry | None, steps: Rows) -> str:
    """Key of the x axis: the method's counter once it is above 0, otherwise the step."""
    return method.counter if method and steps[-1].get(method.counter) else "step"


def _size(record: RunRecord, steps: Rows, by: str) -> Chart | None:
    steps = [row for row in steps if row.get("expected_parameters") is not None]
    if not steps:
        return None
    budgets = budgets_of(record)
    figure, axis = new_chart()
    axis.plot([row[by] for row in steps], [row["expected_parameters"] for row in steps], color=COLOURS[0])
    for budget in budgets:
        axis.axhline(budget, color=INK, linestyle="--", linewidth=1)
        place = (0.01, budget)
        axis.annotate(f"budget {budget:,}", place, (0, 3), ("axes fraction", "data"), "offset points", fontsize=8)
    axis.set(xlabel=by, ylabel="expected parameters")
    parameter_axis(axis, "y", [row["expected_parameters"] for row in steps] + budgets)
    header = (by, "expected parameters", "modules left")
    rows = tuple(
        (str(row[by]), f"{row['expected_parameters']:,.0f}", str(row.get("live_modules", ""))) for row in thin(steps)
    )
    note = "Each module's probability times its expected size, summed."
    if budgets and steps[-1]["expected_parameters"] > 1.01 * budgets[0]:
        note += " The search ended above the budget; what was too much then went by rank of importance."
    return Chart("search-size", "Expected size", figure, header, rows, note)


def budgets_of(record: RunRecord) -> list[int]:
    """Budgets of the run's modules in parameters, ascending; empty while they are not known."""
    results = record.results
    if results and results.budget:
        granted = {step.budget for step in results.ladder} or {results.budget.parameters}
        return sorted(budget - results.token_parameters for budget in granted)
    # An unfinished search says in each step what it steers towards.
    return sorted({row["budget_parameters"] for row in record.search_log[-1:] if row.get("budget_parameters")})


def _live(steps: Rows, by: str) -> Chart | None:
    steps = [row for row in steps if "live_modules" in row]
    if len({row["live_modules"] for row in steps}) < 2:
        return None
    figure, axis = new_chart()
    axis.plot([row[by] for row in steps], [row["live_modules"] for row in steps], color=COLOURS[2])
    axis.set(xlabel=by, ylabel="modules", ylim=(0, None))
    rows = tuple((str(row[by]), str(row["live_modules"])) for row in thin(steps))
    return Chart("search-modules", "Modules left", figure, (by, "modules"), rows)


def _importance(record: RunRecord, steps: Rows, by: str) -> Chart | None:
    history = [(row["step"], _flat(row["importance"])) for row in record.importance]
    if len(history) < 2:
        return None
    place = {row["step"]: row[by] for row in steps}
    history = [(place.get(step, step), values) for step, values in history]
    leading = sorted(history[-1][1], key=lambda name: -history[-1][1][name])[:NUM_LEADING]
    figure, axis = new_chart(height=2.9 + 0.17 * len(leading))
    for i, name in enumerate(leading):
        points = [(x, values[name]) for x, values in history if name in values]
        axis.plot(*zip(*points), label=name, markersize=4, markevery=0.2, linestyle=LINES[i % 4], **style_of(i))
    axis.set(xlabel=by, ylabel="importance")
    axis.ticklabel_format(axis="y", scilimits=(-2, 4))
    legend_below(figure, axis, columns=1)
    rows = tuple((name, f"{history[0][1].get(name, 0):.3g}", f"{history[-1][1][name]:.3g}") for name in leading)
    note = f"What the method ranks modules by, of the {len(leading)} that lead at the end."
    header = ("module", "first", "last")
    return Chart("search-importance", "Importance of the leading modules", figure, header, rows, note)


def _flat(importance: dict[str, dict[str, float]]) -> dict[str, float]:
    return {f"{kind} at {site}": value for site, kinds in importance.items() for kind, value in kinds.items()}


def _losses(steps: Rows) -> Chart:
    names = {"loss_weights": "weights", "loss_architecture": "architecture"}
    figure, axis = new_chart()
    for i, (name, label) in enumerate(names.items()):
        points = [(row["step"], row[name]) for row in steps if row.get(name) is not None]
        if points:
            axis.plot(*zip(*points), label=label, color=COLOURS[i], linestyle=LINES[i])
    axis.set(xlabel="step", ylabel="loss")
    axis.legend()
    rows = tuple((str(row["step"]), *(in_three(row.get(name)) for name in names)) for row in thin(steps))
    header = ("step", "loss of the weights", "loss of the architecture")
    return Chart("search-loss", "Losses of the search", figure, header, rows)


def _logged(record: RunRecord, steps: Rows, number: LoggedNumber, colour: str) -> Chart | None:
    """A number of the method's own over the steps."""
    points = [(row["step"], row[number.key]) for row in steps if row.get(number.key) is not None]
    if not points:
        return None
    figure, axis = new_chart()
    axis.plot(*zip(*points), color=colour)
    threshold = record.config.get("method", {}).get(number.threshold)
    if threshold is not None:
        axis.axhline(threshold, color=INK, linestyle="--", linewidth=1)
    label = number.key.replace("_", " ")
    axis.set(xlabel="step", ylabel=label)
    if number.highest is not None:
        axis.set(ylim=(min(0, *(value for _, value in points)), 1.05 * number.highest))
    rows = tuple((str(step), in_three(value)) for step, value in thin(points))
    return Chart(f"search-{number.key.replace('_', '-')}", number.title, figure, ("step", label), rows, number.note)


def trial_charts(record: RunRecord) -> tuple[Chart, ...]:
    """Score against parameters and best so far; none before two trials have a score.

    The record has scores of which the larger is better; an error gets its sign back here.
    """
    scored = [row for row in record.trials if row["score"] is not None]
    return (_front(record, scored), _best_so_far(record, scored)) if len(scored) > 1 else ()


def _metric_of(record: RunRecord) -> Metric:
    """The metric of the trials' scores; where only the task would know it, any that is in percent."""
    if record.results:
        return METRICS[record.results.selection_metric]
    return METRICS[(*read_metrics(record.config.get("metric") or ""), "accuracy")[0]]


def _score_label(metric: Metric) -> str:
    return f"{_score_name(metric)} in the search"


def _score_name(metric: Metric) -> str:
    return with_direction(metric.name) if metric.lower_is_better else "score"


def _front(record: RunRecord, scored: Rows) -> Chart:
    figure, axis = new_chart()
    metric, sizes = _metric_of(record), [row["parameters"] for row in scored]
    values = [metric.merit(row["score"]) for row in scored]
    axis.plot(sizes, values, "o", color=COLOURS[5], markeredgecolor=MUTED, label="trial")
    if record.front:
        places = [row["parameters"] for row in record.front], [metric.merit(row["score"]) for row in record.front]
        axis.step(*places, where="post", color=COLOURS[1], marker="s", label="Pareto front")
    for budget in budgets_of(record):
        axis.axvline(budget, color=INK, linestyle="--", linewidth=1)
    axis.set(xlabel="parameters", ylabel=_score_label(metric))
    parameter_axis(axis, "x", [float(size) for size in sizes])
    legend_below(figure, axis)
    on_front = {row["trial"] for row in record.front}
    rows = tuple(
        (
            str(row["trial"]),
            f"{row['parameters']:,}",
            write_score(metric.name, value),
            "yes" if row["trial"] in on_front else "",
        )
        for row, value in zip(scored, values, strict=True)
    )
    note = "Validation score of each configuration tried; the dashed line is the budget."
    header = ("trial", "parameters", _score_name(metric), "on the front")
    return Chart("trials", "Trials and their Pareto front", figure, header, rows, note)


def _best_so_far(record: RunRecord, scored: Rows) -> Chart:
    metric = _metric_of(record)
    best = [metric.merit(max(row["score"] for row in scored[: i + 1])) for i in range(len(scored))]
    numbers, values = [row["trial"] for row in scored], [metric.merit(row["score"]) for row in scored]
    figure, axis = new_chart()
    axis.plot(numbers, values, "o", color=COLOURS[5], markeredgecolor=MUTED, label="trial")
    axis.step(numbers, best, where="post", color=COLOURS[0], label="best so far")
    axis.set(xlabel="trial", ylabel=_score_label(metric))
    legend_below(figure, axis)
    rows = tuple(
        (str(number), write_score(metric.name, value), write_score(metric.name, highest))
        for number, value, highest in zip(numbers, values, best, strict=True)
    )
    return Chart("trials-best", "Best score so far", figure, ("trial", _score_name(metric), "best so far"), rows)


def thin(rows: Sequence[AnyRow]) -> list[AnyRow]:
    """Keep at most `NUM_ROWS` rows, evenly spaced, the last one among them."""
    every = -(-len(rows) // NUM_ROWS) or 1
    return [row for i, row in enumerate(rows) if (len(rows) - 1 - i) % every == 0]


def in_three(value: float | None) -> str:
    """Write a number with three decimals; None as empty text."""
    return "" if value is None else f"{value:.3f}"
