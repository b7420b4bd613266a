"""The numbers of a run as rows of text, for the terminal and the model card."""

from pathlib import Path

from peftsearch.report.one_standard_error import describe_choice
from peftsearch.report.rate_search import RateSearch
from peftsearch.report.result_parts import HandBaseline, LadderStep, RandomBaseline, SeedScores, UniformBaseline
from peftsearch.report.results import Results
from peftsearch.report.run.record import collect
from peftsearch.report.verdict import verdict
from peftsearch.report.wording import count_kinds, in_words, write_score
from peftsearch.tasks.metric_registry import METRICS
from peftsearch.tasks.written_number import write_number


def summary_rows(results: Results) -> list[tuple[str, str]]:
    """The result of a run, its cost and its scores, as rows of (name, value)."""
    by_hand = [(found.name, found) for found in results.hand_baselines]
    drawn = [("random", results.random_baseline)] if results.random_baseline else []
    handed = results.handed_over
    return [
        ("method", results.method + (f", space {results.space}" if results.space else "")),
        ("model and task", f"{results.model}, {results.task}"),
        *size_rows(results),
        (f"validation {results.metric}", _score(results.validation)),
        (f"test {results.metric}", _score(results.test)),
        *_further_rows(results.test),
        *((f"{name}, test", _baseline(found)) for name, found in [*by_hand, *drawn]),
        *([("handed over", f"{handed.name}: {handed.parameters:,} parameters")] if handed else []),
        *_ladder_rows(results),
        ("seconds", _seconds(results)),
    ]


def _further_rows(test: SeedScores) -> list[tuple[str, str]]:
    """Errors of a regression in the unit of its labels, and scores of written texts."""
    errors = [f"{name.upper()} {write_number(test.all[name], 4)}" for name in ("rmse", "mae") if name in test.all]
    texts = [f"{in_words(name)} {write_score(name, value)}" for name, value in test.all.items() if _reads_texts(name)]
    return [
        *([("test errors, in the labels' unit", ", ".join(errors))] if errors else []),
        *([("written texts, test", ", ".join(texts))] if texts else []),
    ]


def _reads_texts(name: str) -> bool:
    return name in METRICS and METRICS[name].needs_texts


def _ladder_rows(results: Results) -> list[tuple[str, str]]:
    """The larger steps of a ladder, and the one that its validation scores speak for."""
    rows = [(f"budget {step.budget:,}, test", _step(step, step.test)) for step in results.ladder[1:] if step.test]
    choice = describe_choice(results)
    return [*rows, *([("ladder", choice)] if choice else [])]


def _step(step: LadderStep, test: SeedScores) -> str:
    found = step.baseline
    beside = f"; uniform LoRA {found.test.text} with {found.parameters:,}" if found else ""
    return f"{test.text} with {step.parameters:,} parameters{beside}"


def size_rows(results: Results) -> list[tuple[str, str]]:
    """Size of the trained configuration against its budget and its model, and its learning rate, as rows."""
    kinds, head, rows = count_kinds(results.modules_by_kind), results.head_parameters, results.token_parameters
    return [
        ("modules", f"{results.modules}: {kinds}" if kinds else "none attached"),
        ("parameters", _parameters(results)),
        *([("tokens", f"{rows:,} of these parameters are rows of added tokens")] if rows else []),
        *([("task head", f"{head:,} parameters, not in the budget{_probe(results)}")] if head else []),
        ("learning rate", f"{results.learning_rate:g}{_rate_search(results.rate_search)}"),
    ]


def _probe(results: Results) -> str:
    probe = results.head_probe
    if probe is None:
        return ""
    if probe.learning_rate is None:
        return "; no fit to the frozen model lowered its loss"
    return f"; first fitted to the frozen model: validation loss {probe.fresh_loss:.2f} to {probe.loss:.2f}"


def _rate_search(found: RateSearch | None) -> str:
    return f", found for {found.cost - 1:.2f} of a training more" if found else ""


def _parameters(results: Results) -> str:
    budget = results.budget
    limit = f" of {budget.parameters:,} allowed ({budget.requested})" if budget else ""
    share = results.parameters / results.backbone_parameters
    return f"{results.parameters:,}{limit}; {share:.3%} of the backbone's {results.backbone_parameters:,}"


def _score(score: SeedScores) -> str:
    return score.text + ("" if score.std is None else f" over {len(score.per_seed)} seeds")


def _baseline(found: UniformBaseline | HandBaseline | RandomBaseline) -> str:
    scores = f"{_score(found.test)} with {found.parameters:,} parameters (validation {_score(found.validation)})"
    return f"{scores}; learning rate {found.learning_rate:g}{_rate_search(found.rate_search)}"


def _seconds(results: Results) -> str:
    head = f"head {results.head_probe.seconds:.0f}, " if results.head_probe else ""
    train = f"{head}training {results.seconds.train:.0f}"
    if results.search_cost is None:
        return train
    return f"search {results.seconds.search:.0f}, {train}: search over training {results.search_cost:.2f}"


def print_summary(run: Path) -> None:
    """Show a run's numbers in the terminal."""
    from rich.markup import escape
    from rich.table import Table

    from peftsearch.console import PipedConsole

    results = collect(run).finished
    table = Table("what", "value", title="result", show_lines=False)
    for name, value in summary_rows(results):
        table.add_row(escape(name), escape(value))
    console = PipedConsole()
    console.print(table)
    for note in results.notes:
        console.print(escape(note))
    there = [f"{name}/" for name in ("adapter", "lora", "model") if (run / name).is_dir()]
    files = ", ".join([*there, "results.json", "report.html"])
    console.print(f"Run folder: {escape(str(run))} ({files})", soft_wrap=True)
    if results.handed_over:
        console.print(escape(results.handed_over.reason))
    console.print(escape(verdict(results)))
