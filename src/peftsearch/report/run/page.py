"""The page of one run, from what its folder holds."""

from peftsearch.report.one_standard_error import describe_choice
from peftsearch.report.page import Page, Section, TextTable
from peftsearch.report.result_parts import LadderStep, SeedScores
from peftsearch.report.results import Results
from peftsearch.report.run.error_section import error_section
from peftsearch.report.run.map_chart import size_charts
from peftsearch.report.run.model_map import ModelMap, make_map, space_of
from peftsearch.report.run.race_chart import race_charts
from peftsearch.report.run.record import RunRecord
from peftsearch.report.run.sample_section import sample_section
from peftsearch.report.run.score_charts import TrainedEntry, entries, score_chart, training_charts
from peftsearch.report.run.search_charts import search_charts, trial_charts
from peftsearch.report.verdict import Payoff, Verdict, gain_text, judge
from peftsearch.report.wording import count, count_kinds, in_words, with_direction, write_score
from peftsearch.searches.method import METHODS, Driver
from peftsearch.tasks.metric_registry import METRICS

_SEEDS = "Means and sample deviations over seeds. The test split was scored once for each training."
_INTERVAL = (
    "The ± of the first sentence and of the ladder's gains is half of the 95% confidence interval of the mean gain, "
    "from the differences of search and uniform LoRA seed by seed (Student's t)."
)
_FRONT = "Choose on a Pareto front by validation: the best of several test scores overstates."


def make_run_page(record: RunRecord) -> Page:
    """Make the page of a run; sections that the run has no data for are left out."""
    found, results = make_map(record), record.results
    sections = (
        _scores(results) if results else _progress(record),
        sample_section(record.samples) if results and record.samples else None,
        error_section(record.errors) if results and record.errors else None,
        _map(found) if found else None,
        _search(record),
        _training(record),
        *((_cost(results), _data(results)) if results else ()),
        _settings(record),
    )
    return Page(
        title=_title(record),
        subtitle=_subtitle(record),
        verdict=judge(results) if results else _unfinished(record),
        facts=_facts(results) if results else (),
        notes=results.notes if results else (),
        sections=tuple(section for section in sections if section),
    )


def _title(record: RunRecord) -> str:
    results, config = record.results, record.config
    if results:
        return f"{results.method} on {results.task}"
    method = config.get("configuration") or config.get("method", {}).get("name")
    return f"{method} on {config.get('task') or config.get('data') or 'a task'}"


def _subtitle(record: RunRecord) -> str:
    results, space = record.results, space_of(record)
    budget = results.budget.requested if results and results.budget else record.config.get("budget")
    parts = [f"model {record.config.get('model')}"]
    parts += [f"space {space}"] if space else []
    parts += [f"budget {budget}"] if budget else []
    return ", ".join([*parts, count(record.config.get("seeds") or 1, "seed")])


def _unfinished(record: RunRecord) -> Verdict:
    text = "Unfinished: this page shows what the run has written so far; the same command with --resume goes on."
    return Verdict(Payoff.OPEN, text)


def _facts(results: Results) -> tuple[tuple[str, str, str], ...]:
    budget, cost = results.budget, results.search_cost
    share = results.parameters / results.backbone_parameters
    limit = f"{budget.parameters:,} allowed" if budget else "no budget"
    kinds, handed = count_kinds(results.modules_by_kind) or "none attached", results.handed_over
    return (
        (f"test {with_direction(results.metric)}", results.test.text, _over(results.test)),
        ("parameters", f"{results.parameters:,}", f"{limit}; {share:.3%} of the backbone"),
        ("modules", str(results.modules), kinds),
        *([] if cost is None else [("search cost", f"{cost:.2f}", "times one training")]),
        *([("handed over", handed.name, f"{handed.parameters:,} parameters")] if handed else []),
    )


def _over(score: SeedScores) -> str:
    number = len(score.per_seed)
    return f"over {number} seeds" if number > 1 else "one seed"


def _scores(results: Results) -> Section:
    chart, ladder = score_chart(results), _ladder(results)
    seeds = range(results.seed, results.seed + len(results.test.per_seed))
    metric = in_words(results.metric)
    header = ("configuration", "parameters", "modules", "learning rate", f"validation {metric}", f"test {metric}")
    rows = tuple(map(_entry, entries(results)))
    unit = in_words(results.metric) if METRICS[results.metric].lower_is_better else "points"
    table = TextTable(f"Scores in {unit}", (*header, *(f"test, seed {seed}" for seed in seeds)), rows)
    text = [_SEEDS] + ([_INTERVAL] if results.baseline and len(seeds) > 1 else [])
    text += [choice] if (choice := describe_choice(results)) else []
    text += [results.handed_over.reason] if results.handed_over else []
    text += [_FRONT] if results.pareto else []
    return Section(
        "scores",
        "Did it pay off?" if results.space else "Scores",
        tuple(text),
        charts=(chart,) if chart else (),
        tables=tuple(found for found in (table, ladder, _by_entity(results), _further(results)) if found),
    )


def _by_entity(results: Results) -> TextTable | None:
    """F1 of each type of entity on the test split, of everything that was trained; None for other tasks."""
    found = results.test.by_entity
    if not found:
        return None
    others = [entry for entry in entries(results)[1:] if entry.test.by_entity]
    header = ("entity", "spans in test", "precision", "recall", "F1", *(f"F1, {entry.name}" for entry in others))
    rows = []
    for name, score in found.items():
        compared = (entry.test.by_entity.get(name) for entry in others)
        values = (score.precision, score.recall, score.f1, *(other.f1 if other else 0.0 for other in compared))
        rows.append((name, f"{score.spans:,}", *(f"{value:.2f}" for value in values)))
    return TextTable("Scores by type of entity on the test split, in percent", header, tuple(rows))


def _further(results: Results) -> TextTable | None:
    """The other metrics on the test split, of everything that was trained; None where there are none."""
    found = entries(results)
    names = [name for name in results.test.all if name != results.metric]
    rows = tuple((with_direction(name), *(_metric(entry, name) for entry in found)) for name in names)
    header = ("metric", *(entry.name for entry in found))
    return TextTable("Other metrics on the test split, means over seeds", header, rows) if rows else None


def _metric(entry: TrainedEntry, name: str) -> str:
    """A metric of an entry on the test split; empty where an earlier version did not note it."""
    return write_score(name, entry.test.all[name]) if name in entry.test.all else ""


def _entry(entry: TrainedEntry) -> tuple[str, ...]:
    seeds = (write_score(entry.test.metric, value) for value in entry.test.per_seed)
    sizes = (f"{entry.parameters:,}", str(entry.modules), f"{entry.learning_rate:g}")
    return (entry.name, *sizes, entry.validation.text, entry.test.text, *seeds)


def _ladder(results: Results) -> TextTable | None:
    if len(results.ladder) < 2:
        return None
    metric = in_words(results.metric)
    header = ("budget", "parameters", "modules", f"validation {metric}", f"test {metric}", "gain over uniform LoRA")
    return TextTable("Ladder of budgets", header, tuple(map(_step, results.ladder)))


def _step(step: LadderStep) -> tuple[str, ...]:
    sizes = (f"{step.budget:,}", f"{step.parameters:,}", str(step.modules))
    if step.validation is None or step.test is None:
        return (*sizes, "not trained", "", "")
    gain = gain_text(step.test, step.baseline.test) if step.baseline else "not trained"
    return (*sizes, step.validation.text, step.test.text, gain)


def _progress(record: RunRecord) -> Section:
    """Section on the progress of an unfinished run."""
    steps = sum("loss_weights" in row for row in record.search_log)
    trials = f"{steps} steps and {len(record.trials)} trials"
    done = f"{len(record.lanes)} judgements of lanes" if record.lanes else trials
    text = [f"Search: {done} so far." if space_of(record) else "No search."]
    rows = tuple(
        (
            name,
            f"{run['learning_rate']:g}",
            ", ".join(f"{m} {write_score(m, v)}" for m, v in run["validation"].items()),
        )
        for name, run in record.trained.items()
    )
    header = ("training", "learning rate", "validation")
    tables = (TextTable("Finished trainings", header, rows),) if rows else ()
    return Section("progress", "How far it has come", tuple(text), tables=tables)


def _map(found: ModelMap) -> Section:
    chosen = tuple((s.name, m.kind, str(m.rank or ""), f"{m.parameters:,}") for s, m in found.marks)
    text = "A tile is a module: its colour and letters are the kind, its number the rank. Faint tiles could have been"
    text = f"{text} chosen and were not." if chosen else "Nothing has been chosen yet; faint tiles can be."
    table = TextTable("Every module", ("site", "kind", "rank", "parameters"), chosen)
    return Section(
        "map", "What stands where", (text,), map=found, charts=size_charts(found), folded=(table,) if chosen else ()
    )


def _search(record: RunRecord) -> Section | None:
    charts = (*search_charts(record), *trial_charts(record), *race_charts(record))
    return Section("search", "The search as it ran", charts=charts) if charts else None


def _training(record: RunRecord) -> Section | None:
    charts = training_charts(record)
    return Section("training", "Learning curves", charts=charts) if charts else None


def _cost(results: Results) -> Section:
    named = [] if results.search_cost is None else [("the search", results.seconds.search)]
    named += [(f"one training, {e.name}", e.seconds) for e in entries(results) if e.seconds is not None]
    rows = tuple((name, _seconds(taken), f"{taken / results.seconds.train:.2f}") for name, taken in named)
    table = TextTable("Wall time", ("what", "time", "trainings"), rows)
    return Section("cost", "Cost, and what is counted", tables=(table,), items=_counted(results))


def _counted(results: Results) -> tuple[str, ...]:
    head, rows = results.head_parameters, results.token_parameters
    and_rows = f" and of the rows of added tokens ({rows:,})" if rows else ""
    return (
        f"Counted in the budget: every trained parameter of the PEFT modules{and_rows}, on the adapter as reloaded "
        "from disk.",
        *([f"Not counted: the task head ({head:,} parameters), which is trained too."] if head else []),
        "Search cost is the search's wall time over that of one training, scoring on validation included; other "
        "trainings of the run, such as baselines, further seeds and a grid of learning rates, are not in it.",
        f"The epoch was chosen by {in_words(results.selection_metric)} on the validation split{_and_rate(results)}.",
    )


def _and_rate(results: Results) -> str:
    """That the learning rate was chosen by the loss, where the trainings or the lanes of a race found it."""
    is_race = results.method in METHODS and METHODS[results.method].driver is Driver.RACE
    was_found = is_race or results.rate_search is not None
    return ", the learning rate by the loss there" if was_found else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _data(results: Results) -> Section:
    cut, of_targets = results.truncated_examples, results.truncated_targets
    counts = [cut, of_targets] if of_targets else [cut]
    header = ("split", "examples", "truncated", "truncated targets")[: 2 + len(counts)]
    rows = tuple(
        (name, f"{size:,}", *(f"{count.get(name, 0):,}" for count in counts))
        for name, size in results.split.sizes.items()
    )
    table = TextTable("Splits", header, rows)
    return Section("data", "Data", (f"Split: {results.split.rule}.",), tables=(table,))


def _settings(record: RunRecord) -> Section:
    versions = tuple(record.results.versions.items()) if record.results else ()
    folded = (TextTable("Versions", ("package", "version"), versions),) if versions else ()
    return Section("settings", "Settings and versions", folded=folded, verbatim=record.settings)
