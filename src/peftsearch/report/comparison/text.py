"""A comparison as text: a table for the terminal, for Markdown and for spreadsheets."""

import csv
import io

from peftsearch.report.comparison.paired import Paired
from peftsearch.report.comparison.table import Comparison, MethodRow, TaskScore
from peftsearch.report.wording import count, with_deviation, with_direction, write_score

_NONE = "-"


def header(comparison: Comparison) -> list[str]:
    """Names of the columns."""
    facts = comparison.facts
    scores = [*facts.tasks, "average"]
    against = [f"against {facts.reference}", "p", "handed over"]
    return ["method", "space", "parameters", *scores, "search s", "train s", *against]


def columns(comparison: Comparison, row: MethodRow) -> list[str]:
    """A row as text, a cell for each column."""
    tasks, metric = comparison.facts.tasks, comparison.metric.name
    against, decimals = row.against, comparison.metric.decimals(row.average or 0.0)
    return [
        _name(row),
        row.space or _NONE,
        _NONE if row.parameters is None else f"{row.parameters:,}",
        *(_score(metric, row.scores.get(task)) for task in tasks),
        _NONE if row.average is None else write_score(metric, row.average),
        _seconds(row.search_seconds),
        _seconds(row.train_seconds),
        _against(against, decimals) if against else _NONE,
        ("n.a." if against.p is None else f"{against.p:.3f}") if against else _NONE,
        _NONE if row.handed_over is None else signed(row.handed_over, decimals),
    ]


def _name(row: MethodRow) -> str:
    marks = ["outside the budget"] if row.outside_budget else []
    marks += [f"{len(row.errors)} failed"] if row.errors else []
    marks += [f"{row.open} to run"] if row.open else []
    return f"{row.method} ({', '.join(marks)})" if marks else row.method


def _score(metric: str, score: TaskScore | None) -> str:
    return with_deviation(metric, score.mean, score.std) if score else _NONE


def _against(pair: Paired, decimals: int) -> str:
    margin = "" if pair.margin is None else f" ± {pair.margin:.{decimals}f}"
    return f"{pair.wins}-{pair.ties}-{pair.losses}, {signed(pair.difference, decimals)}{margin}"


def signed(difference: float, decimals: int) -> str:
    """A difference with its sign."""
    # The sum turns a rounded -0.0 into 0.0.
    return f"{round(difference, decimals) + 0.0:+.{decimals}f}"


def unit_of(comparison: Comparison) -> str:
    """The unit of averages: points, or an error of which lower is better."""
    return with_direction(comparison.metric.name) if comparison.metric.lower_is_better else "points"


def _seconds(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{seconds:.1f}"


def notes(comparison: Comparison) -> list[str]:
    """Notes that a reader needs to trust the numbers, a sentence or two each."""
    facts = comparison.facts
    seeds = ", ".join(map(str, facts.seeds))
    rates = ", ".join(f"{rate:g}" for rate in facts.learning_rates)
    unit = f"{comparison.metric.title}, plus for a lower one," if comparison.metric.lower_is_better else "points"
    ways = {0: "found by the first seed, whose worse rates leave early", 1: rates}
    chosen = ways.get(len(facts.learning_rates), f"chosen on validation among {rates} by the first seed")
    return [
        f"Model {facts.model}: {facts.backbone_parameters:,} parameters. Budget {facts.budget}: "
        f"{facts.budget_parameters:,} parameters, task head excluded.",
        f"Test scores in {unit_of(comparison)}, mean ± sample deviation over {count(len(facts.seeds), 'seed')} "
        f"({seeds}). The test split was scored once for each run, after every choice was made on validation.",
        f"Learning rate: {chosen}.",
        f"Against {facts.reference} (uniform LoRA of at most the same budget): wins-ties-losses over pairs of the "
        f"same task and seed, mean difference in {unit} ± half of its 95% interval; p of a two-sided paired t-test, "
        "n.a. for fewer than 2 pairs or equal differences.",
        f"Handed over: the mean difference of what a run hands over, the better one on validation of the method's and "
        f"{facts.reference}'s.",
        "Where a split is drawn, it is drawn with the run's seed and is the same for every method.",
        *(f"Splits of {task}: {rule}" for task, rule in facts.splits.items()),
        f"Wall time {facts.wall_seconds:.0f} s.",
    ]


def failures(comparison: Comparison) -> list[str]:
    """The reason of each failed run."""
    return [f"{row.method}, {error}" for row in comparison.rows for error in row.errors]


def as_text(comparison: Comparison) -> str:
    """The table as the terminal shows it, with notes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*map(escape, header(comparison)), title="comparison")
    for row in comparison.rows:
        table.add_row(*map(escape, columns(comparison, row)))
    buffer = io.StringIO()
    console = Console(file=buffer, width=max(100, 16 * len(table.columns) + 20))
    console.print(table)
    lines = [*(f"FAILED {reason}" for reason in failures(comparison)), *notes(comparison)]
    return buffer.getvalue() + "\n".join(lines) + "\n"


def as_markdown(comparison: Comparison) -> str:
    """The table and the notes as Markdown."""
    names = header(comparison)
    rows = [names, ["---"] * len(names), *(columns(comparison, row) for row in comparison.rows)]
    table = "\n".join(f"| {' | '.join(_cell(text) for text in row)} |" for row in rows)
    failed = [f"- **failed**: {reason}" for reason in failures(comparison)]
    return "\n".join([table, "", *failed, *(f"- {note}" for note in notes(comparison))]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def as_csv(comparison: Comparison) -> str:
    """The rows as numbers, a line each."""
    tasks = comparison.facts.tasks
    scores = [f"{task} {what}" for task in tasks for what in ("mean", "std", "seeds")]
    against = ["wins", "ties", "losses", "mean_difference", "margin", "p", "handed_over"]
    names = ["method", "outside_budget", "space", "parameters", *scores, "average", "search_seconds", "train_seconds"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*names, *against, "failed", "open"])
    for row in comparison.rows:
        writer.writerow([*_numbers(row, tasks), len(row.errors), row.open])
    return buffer.getvalue()


def _numbers(row: MethodRow, tasks: tuple[str, ...]) -> list[object]:
    found = [row.scores.get(task) for task in tasks]
    scores = [number for s in found for number in ((s.mean, s.std, s.seeds) if s else (None, None, 0))]
    pair = row.against
    counts = [pair.wins, pair.ties, pair.losses] if pair else [None] * 3
    differences = [pair.difference, pair.margin, pair.p] if pair else [None] * 3
    sizes = [row.method, row.outside_budget, row.space, row.parameters]
    return [
        *sizes,
        *scores,
        row.average,
        row.search_seconds,
        row.train_seconds,
        *counts,
        *differences,
        row.handed_over,
    ]
