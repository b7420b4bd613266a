"""The numbers of a run as rows of text, and a verdict in words."""

from pathlib import Path
from typing import Any

from peftsearch.report.collect import RunRecord, collect


def summary_rows(record: RunRecord) -> list[tuple[str, str]]:
    """What was found, what it costs and what it scores, as (name, value)."""
    results = record.results
    kinds = ", ".join(f"{count} {kind}" for kind, count in results["modules_by_kind"].items()) or "none"
    rows = [
        ("method", results["method"] + (f", space {results['space']}" if results["space"] else "")),
        ("model and task", f"{results['model']}, {results['task']}"),
        ("modules", f"{results['modules']}: {kinds}" if results["modules"] else "none attached"),
        ("parameters", _parameters(results)),
        ("task head", f"{results['head_parameters']:,} parameters, not in the budget"),
        ("learning rate", f"{results['learning_rate']:g}"),
        (f"validation {results['metric']}", _score(results["validation"])),
        (f"test {results['metric']}", _score(results["test"])),
    ]
    baseline = results["baseline"]
    if baseline:
        text = f"{_score(baseline['test'])} with {baseline['parameters']:,} parameters (validation "
        rows.append(("uniform LoRA, test", f"{text}{_score(baseline['validation'])})"))
    rows.append(("seconds", _seconds(results)))
    return rows


def front_rows(record: RunRecord) -> list[tuple[str, ...]]:
    """Parameters, modules, validation and test score, and folder of each configuration of the trained front."""
    return [
        (f"{row['parameters']:,}", str(row["modules"]), _score(row["validation"]), _score(row["test"]), row["folder"])
        for row in record.results.get("pareto", [])
    ]


def _parameters(results: dict[str, Any]) -> str:
    budget = results["budget"]
    limit = f" of {budget['parameters']:,} allowed ({budget['requested']})" if budget else ""
    share = results["parameters"] / results["backbone_parameters"]
    return f"{results['parameters']:,}{limit}; {share:.3%} of the backbone's {results['backbone_parameters']:,}"


def _score(score: dict[str, Any]) -> str:
    deviation = f" ± {score['std']:.2f} over {len(score['per_seed'])} seeds" if score["std"] is not None else ""
    return f"{score['value']:.2f}{deviation}"


def _seconds(results: dict[str, Any]) -> str:
    train = f"training {results['seconds']['train']:.0f}"
    if results["search_cost"] is None:
        return train
    return f"search {results['seconds']['search']:.0f}, {train}: search over training {results['search_cost']:.2f}"


def verdict(results: dict[str, Any]) -> str:
    """Whether the search paid off, in one or two sentences, and how sure that is."""
    baseline = results["baseline"]
    if not baseline:
        return f"Test {results['metric']} {_score(results['test'])}."
    own, other = results["test"], baseline["test"]
    gain = own["value"] - other["value"]
    if round(gain, 2) == 0:
        said = "No gain over uniform LoRA of at most the same budget: both score the same"
        text = f"{said}, {own['value']:.2f} test {results['metric']}."
    else:
        said = "The search gained" if gain > 0 else "No gain over uniform LoRA: the search lost"
        points = f"{abs(gain):.2f} points of test {results['metric']}"
        text = f"{said} {points} against uniform LoRA of at most the same budget."
    return f"{text} {_certainty(own, other, gain)}"


def _certainty(own: dict[str, Any], other: dict[str, Any], gain: float) -> str:
    if own["std"] is None or other["std"] is None:
        return "One seed cannot tell a gain from noise; use --seeds 3 or more."
    error = (own["std"] ** 2 / len(own["per_seed"]) + other["std"] ** 2 / len(other["per_seed"])) ** 0.5
    larger = "more" if abs(gain) > 2 * error else "not more"
    return f"That is {larger} than twice the standard error between trainings ({error:.2f})."


def print_summary(run: Path) -> None:
    """Show a run's numbers in the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    record = collect(run)
    table = Table("what", "value", title="result", show_lines=False)
    for name, value in summary_rows(record):
        table.add_row(escape(name), escape(value))
    console = Console()
    console.print(table)
    for note in record.results["notes"]:
        console.print(escape(note))
    console.print(escape(verdict(record.results)))
    there = [f"{name}/" for name in ("adapter", "lora", "model") if (run / name).is_dir()]
    files = ", ".join([*there, "results.json", "report.html"])
    console.print(f"Run folder: {escape(str(run))} ({files})", soft_wrap=True)
