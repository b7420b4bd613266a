"""The page of one run, from what its folder holds."""

from typing import Any

from peftsearch.report.page import Page, Section, Table
from peftsearch.report.run.map_chart import size_charts
from peftsearch.report.run.model_map import ModelMap, make_map, space_of
from peftsearch.report.run.record import RunRecord
from peftsearch.report.run.score_charts import Entry, entries, score_chart, text_of, training_charts
from peftsearch.report.run.search_charts import search_charts, trial_charts
from peftsearch.report.verdict import Outcome, Verdict, judge

_SEEDS = "Means and sample deviations over seeds. The test split was scored once for each training."
_INTERVAL = (
    "The ± of the first sentence is half of the 95% confidence interval of the mean gain, from the differences of "
    "search and uniform LoRA seed by seed (Student's t)."
)


def make_run_page(record: RunRecord) -> Page:
    """Everything that there is to show; parts that the run does not have are left out."""
    found = make_map(record)
    sections = (
        _scores(record),
        _progress(record),
        _map(record, found),
        _search(record),
        _training(record),
        _cost(record),
        _data(record),
        _settings(record),
    )
    return Page(
        title=_title(record),
        subtitle=_subtitle(record),
        verdict=judge(record.results) if record.is_finished else _unfinished(record),
        facts=_facts(record.results) if record.is_finished else (),
        notes=tuple(record.results.get("notes", [])),
        sections=tuple(section for section in sections if section),
    )


def _title(record: RunRecord) -> str:
    config = record.config
    task = record.results.get("task") or config.get("task") or config.get("data") or "a task"
    method = record.results.get("method") or config.get("configuration") or config.get("method", {}).get("name")
    return f"{method} on {task}"


def _subtitle(record: RunRecord) -> str:
    results, space = record.results, space_of(record)
    budget = (results.get("budget") or {}).get("requested") or record.config.get("budget")
    parts = [f"model {record.config.get('model')}"]
    parts += [f"space {space}"] if space else []
    parts += [f"budget {budget}"] if budget else []
    seeds = record.config.get("seeds") or 1
    return ", ".join([*parts, f"{seeds} seed{'s' * (seeds > 1)}"])


def _unfinished(record: RunRecord) -> Verdict:
    text = "Unfinished: this page shows what the run has written so far; the same command with --resume goes on."
    return Verdict(Outcome.OPEN, text)


def _facts(results: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    budget, cost = results["budget"], results["search_cost"]
    share = results["parameters"] / results["backbone_parameters"]
    limit = f"{budget['parameters']:,} allowed" if budget else "no budget"
    facts = [
        (f"test {results['metric']}".replace("_", " "), text_of(results["test"]), _over(results["test"])),
        ("parameters", f"{results['parameters']:,}", f"{limit}; {share:.3%} of the backbone"),
        ("modules", str(results["modules"]), _kinds(results)),
    ]
    if cost is not None:
        facts.append(("search cost", f"{cost:.2f}", "times one training"))
    return tuple(facts)


def _over(score: dict[str, Any]) -> str:
    count = len(score["per_seed"])
    return f"over {count} seeds" if count > 1 else "one seed"


def _kinds(results: dict[str, Any]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in results["modules_by_kind"].items()) or "none attached"


def _scores(record: RunRecord) -> Section | None:
    found = entries(record)
    if not found:
        return None
    results, chart = record.results, score_chart(record)
    seeds = range(results["seed"], results["seed"] + len(results["test"]["per_seed"]))
    metric = results["metric"].replace("_", " ")
    header = ("configuration", "parameters", "modules", "learning rate", f"validation {metric}", f"test {metric}")
    table = Table("Scores in points", (*header, *(f"test, seed {seed}" for seed in seeds)), tuple(map(_entry, found)))
    text = [_SEEDS] + ([_INTERVAL] if results["baseline"] and len(seeds) > 1 else [])
    text += ["Choose on a Pareto front by validation: the best of several test scores overstates."] * bool(
        results.get("pareto")
    )
    ladder = _ladder(results)
    return Section(
        "scores",
        "Did it pay off?" if results["space"] else "Scores",
        tuple(text),
        charts=(chart,) if chart else (),
        tables=(table, *([ladder] if ladder else [])),
    )


def _entry(entry: Entry) -> tuple[str, ...]:
    validation, test = entry.scores["validation"], entry.scores["test"]
    seeds = (f"{value:.2f}" for value in test["per_seed"])
    sizes = (f"{entry.parameters:,}", str(entry.modules), f"{entry.learning_rate:g}")
    return (entry.name, *sizes, text_of(validation), text_of(test), *seeds)


def _ladder(results: dict[str, Any]) -> Table | None:
    rungs = results.get("ladder", [])
    if len(rungs) < 2:
        return None
    rows = tuple((f"{r['budget']:,}", f"{r['parameters']:,}", str(r["modules"])) for r in rungs)
    caption = "Ladder of budgets; the smallest was trained"
    return Table(caption, ("budget", "parameters", "modules"), rows)


def _progress(record: RunRecord) -> Section | None:
    """How far an unfinished run has come."""
    if record.is_finished:
        return None
    steps = sum("loss_weights" in row for row in record.search_log)
    text = [f"Search: {steps} steps and {len(record.trials)} trials so far." if space_of(record) else "No search."]
    rows = tuple(
        (name, f"{run['learning_rate']:g}", ", ".join(f"{m} {v:.2f}" for m, v in run["validation"].items()))
        for name, run in record.trained.items()
    )
    header = ("training", "learning rate", "validation")
    tables = (Table("Finished trainings", header, rows),) if rows else ()
    return Section("progress", "How far it has come", tuple(text), tables=tables)


def _map(record: RunRecord, found: ModelMap | None) -> Section | None:
    if found is None:
        return None
    chosen = tuple((s.name, m.kind, str(m.rank or ""), f"{m.parameters:,}") for s, m in found.marks)
    text = "A tile is a module: its colour and letters are the kind, its number the rank. Faint tiles could have been"
    text = f"{text} chosen and were not." if chosen else "Nothing has been chosen yet; faint tiles can be."
    table = Table("Every module", ("site", "kind", "rank", "parameters"), chosen)
    return Section(
        "map", "What stands where", (text,), map=found, charts=size_charts(found), folded=(table,) if chosen else ()
    )


def _search(record: RunRecord) -> Section | None:
    charts = (*search_charts(record), *trial_charts(record))
    return Section("search", "The search as it ran", charts=charts) if charts else None


def _training(record: RunRecord) -> Section | None:
    charts = training_charts(record)
    return Section("training", "Learning curves", charts=charts) if charts else None


def _cost(record: RunRecord) -> Section | None:
    results = record.results
    if not results:
        return None
    named = [("the search", results["seconds"]["search"])] if results["search_cost"] is not None else []
    named += [(f"one training, {entry.name}", entry.seconds) for entry in entries(record) if entry.seconds is not None]
    rows = tuple((name, _seconds(taken), f"{taken / results['seconds']['train']:.2f}") for name, taken in named)
    table = Table("Wall time", ("what", "time", "trainings"), rows)
    return Section("cost", "Cost, and what is counted", tables=(table,), items=_counted(results))


def _counted(results: dict[str, Any]) -> tuple[str, ...]:
    head = f"{results['head_parameters']:,}"
    return (
        "Counted in the budget: every trained parameter of the PEFT modules, on the adapter as reloaded from disk.",
        f"Not counted: the task head ({head} parameters), which is trained too.",
        "Search cost is the search's wall time over that of one training, scoring on validation included; other "
        "trainings of the run, such as baselines, further seeds and a grid of learning rates, are not in it.",
        f"Epoch and learning rate were chosen by {results['selection_metric']} on the validation split.",
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _data(record: RunRecord) -> Section | None:
    results = record.results
    if not results:
        return None
    truncated = results["truncated_examples"]
    rows = tuple((name, f"{size:,}", f"{truncated[name]:,}") for name, size in results["split"]["sizes"].items())
    table = Table("Splits", ("split", "examples", "truncated"), rows)
    return Section("data", "Data", (f"Split: {results['split']['rule']}.",), tables=(table,))


def _settings(record: RunRecord) -> Section:
    versions = tuple(record.results.get("versions", {}).items())
    folded = (Table("Versions", ("package", "version"), versions),) if versions else ()
    return Section("settings", "Settings and versions", folded=folded, verbatim=record.settings)
