"""`comparison.html`: the table, pictures and every task in one file that opens anywhere."""

from pathlib import Path
from urllib.parse import quote

from peftsearch.report.charts import chart_style
from peftsearch.report.comparison.charts import metric_of, overview_charts, runs_of, task_chart
from peftsearch.report.comparison.table import Comparison, MethodRow, RunScore, metric_of_runs
from peftsearch.report.comparison.text import columns, failures, header, notes, signed, unit_of
from peftsearch.report.page import Page, Section, TextTable, render, write_page
from peftsearch.report.verdict import Payoff, Verdict
from peftsearch.report.wording import count, unit_of_gains, write_score
from peftsearch.tasks.metric_registry import Metric

# Two-sided p below which a difference counts as more than noise.
_SIGNIFICANT = 0.05


def as_html(comparison: Comparison) -> str:
    """The comparison as a page."""
    with chart_style():
        return render(make_comparison_page(comparison))


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write `comparison.html`, and its pictures into `figures/`."""
    with chart_style():
        return write_page(make_comparison_page(comparison), folder / "comparison.html")


def make_comparison_page(comparison: Comparison) -> Page:
    """Make the page: the table first, then its charts, then each task."""
    facts = comparison.facts
    table = TextTable(f"Test scores in {unit_of(comparison)}", tuple(header(comparison)), _rows(comparison))
    charts = overview_charts(comparison)
    failed = failures(comparison)
    sections = [
        Section("table", "Every method", ("The best average comes first.",), charts=charts, tables=(table,)),
        *([Section("failed", "Failed runs", items=tuple(failed))] if failed else []),
        _tasks(comparison),
        Section("how", "How this was measured", items=tuple(notes(comparison))),
    ]
    return Page(
        title=f"{len(comparison.rows)} methods on {count(len(facts.tasks), 'task')}",
        subtitle=f"model {facts.model}, budget {facts.budget}, {count(len(facts.seeds), 'seed')}",
        verdict=judge_comparison(comparison),
        facts=_facts(comparison),
        notes=(),
        sections=tuple(sections),
    )


def _rows(comparison: Comparison) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(columns(comparison, row)) for row in comparison.rows)


def judge_comparison(comparison: Comparison) -> Verdict:
    """Judge whether a method within the budget beats the reference, and how sure that is."""
    facts, unfinished = comparison.facts, _unfinished(comparison)
    within = [row for row in comparison.rows if row.average is not None and not row.outside_budget]
    if not within:
        return Verdict(Payoff.OPEN, f"{unfinished}No method has a score on every task yet.")
    metric = comparison.metric
    best = max(within, key=lambda row: metric.merit(row.average or 0.0))
    if best.against is None:
        said = f"No gain: {facts.reference} itself has the {_extreme(metric)} average within the budget"
        average = write_score(metric.name, best.average or 0.0)
        return Verdict(Payoff.NO_GAIN, f"{unfinished}{said}, {average} {_unit(metric)}.")
    return _of_best(comparison, best, unfinished)


def _of_best(comparison: Comparison, best: MethodRow, unfinished: str) -> Verdict:
    pair = best.against
    assert pair is not None
    metric = comparison.metric
    gain = signed(pair.difference, metric.decimals(best.average or 0.0))
    unit = unit_of_gains(metric.name, "test") if metric.lower_is_better else "points"
    said = (
        f"{best.method} has the {_extreme(metric)} average within the budget, {gain} {unit} against "
        f"{comparison.facts.reference} over {count(pair.pairs, 'pair')} of task and seed"
    )
    if pair.p is not None and pair.p < _SIGNIFICANT and pair.difference > 0:
        return Verdict(Payoff.GAIN, f"{unfinished}{said} (p = {pair.p:.3f}).")
    sure = f"p = {pair.p:.2f}" if pair.p is not None else "too few pairs for a test"
    return Verdict(Payoff.OPEN, f"{unfinished}{said}, which can be noise ({sure}).")


def _extreme(metric: Metric) -> str:
    return "lowest" if metric.lower_is_better else "highest"


def _unit(metric: Metric) -> str:
    return metric.title if metric.lower_is_better else "points"


def _unfinished(comparison: Comparison) -> str:
    done = sum(run.test is not None for run in comparison.runs)
    return "" if done == len(comparison.runs) else f"Unfinished ({done} of {len(comparison.runs)} runs). "


def _facts(comparison: Comparison) -> tuple[tuple[str, str, str], ...]:
    facts = comparison.facts
    done = sum(run.test is not None for run in comparison.runs)
    share = facts.budget_parameters / facts.backbone_parameters
    return (
        ("budget", f"{facts.budget_parameters:,}", f"parameters; {share:.3%} of the backbone"),
        ("runs with a score", f"{done} of {len(comparison.runs)}", "a run is a method, a task and a seed"),
        ("wall time", f"{facts.wall_seconds / 60:.0f} min", "of the whole comparison"),
    )


def _tasks(comparison: Comparison) -> Section:
    tasks = comparison.facts.tasks
    charts = [task_chart(comparison, i) for i in range(len(tasks))]
    return Section(
        "tasks",
        "Each task",
        charts=tuple(chart for chart in charts if chart),
        folded=tuple(_runs(comparison, task) for task in tasks),
    )


def _runs(comparison: Comparison, task: str) -> TextTable:
    runs = [run for row in comparison.rows for run in runs_of(comparison, task, row.method)]
    metric = metric_of(comparison, task)
    return TextTable(
        f"Every run on {task}",
        ("run", "parameters", "learning rate", f"validation {metric}", f"test {metric}", "search s", "training s"),
        tuple(map(_run, runs)),
        tuple(f"{quote(run.folder)}/report.html" if run.folder and run.test is not None else "" for run in runs),
    )


def _run(run: RunScore) -> tuple[str, ...]:
    decimals = metric_of_runs([run]).decimals(run.test or 0.0)
    numbers = (
        (run.parameters, ","),
        (run.learning_rate, "g"),
        (run.validation, f".{decimals}f"),
        (run.test, f".{decimals}f"),
        (run.search_seconds, ".1f"),
        (run.train_seconds, ".1f"),
    )
    name = f"{run.method}, seed {run.seed}" + (" (failed)" if run.error else "")
    return (name, *("-" if value is None else f"{value:{number_format}}" for value, number_format in numbers))
