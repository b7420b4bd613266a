"""Run folders written by hand, with names that would break a page that does not escape them."""

import json
from pathlib import Path
from typing import Any

import yaml
from finished_run import results, score, uniform, write_results

from peftsearch.report.result_parts import LadderStep, RandomBaseline, SplitRecord
from peftsearch.report.results import Results
from peftsearch.report.run.error_record import ErrorRecord
from peftsearch.space import Choice, Configuration
from peftsearch.tasks.error_report import CountMatrix, ErrorReport, ErrorTable, NumberPairs

EVIL = "<script>document.documentElement.dataset.evil = '$x'</script><img src=x onerror=document.write('$x')>"


def sample_results(**changes: Any) -> Results:
    """Results of a search of one seed on a task and a model with evil names."""
    evil = {
        "seeds": 1,
        "model": EVIL,
        "task": EVIL,
        "split": SplitRecord(rule=EVIL, sizes={"train": 10, EVIL: 5}),
        "parameters": 400,
        "modules": 2,
        "modules_by_kind": {"bitfit": 1, "lora": 1},
        "validation": score(90.0),
        "test": score(91.0),
        "search_steps": 30,
        "baseline": uniform(900, validation=score(89.0), test=score(90.0)),
        "random_baseline": RandomBaseline(2, 950, 0.001, score(79.0), score(80.0), 8.0),
        "truncated_examples": {"train": 0, EVIL: 1},
        "notes": (EVIL,),
        "ladder": (LadderStep(1000, 400, 2), LadderStep(2000, 1900, 3)),
        "versions": {"torch": "2"},
    }
    return results(**evil | changes)


def site(layer: int, role: str) -> dict[str, Any]:
    name = f"encoder.{role}" if role == "final_norm" else f"encoder.{layer}.{role}"
    widths = {"in_width": 32, "out_width": 32, "input_path": "", "prefix_width": 0}
    return {"name": name, "stack": "encoder", "layer": layer, "role": role, "path": f"m.{layer}.{role}", **widths}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_unfinished(folder: Path) -> Path:
    """A run that was stopped in its first training: no results, a last row of the log cut off."""
    sites = [site(layer, role) for layer in range(2) for role in ("query", "ffn_norm")] + [site(2, "final_norm")]
    (folder / "sites.json").write_text(json.dumps(sites))
    config = {"model": EVIL, "task": EVIL, "seeds": 1, "method": {"name": "bipeft", "threshold": 0.85}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    log = [
        {
            "step": i,
            "expected_parameters": 2000 - 50 * i,
            "budget_parameters": 1234,
            "live_modules": 9 - i // 5,
            "stability": None if i < 3 else 0.9,
            "loss_weights": 1.0 / (i + 1),
            "loss_architecture": None,
            "triggers": i // 5,
        }
        for i in range(30)
    ]
    write_lines(folder / "search" / "log.jsonl", log)
    importance = [{"step": i, "importance": {"encoder.0.query": {"lora": 0.1 * i, "bitfit": 0.2}}} for i in (0, 29)]
    write_lines(folder / "search" / "importance.jsonl", importance)
    choices = [Choice("encoder.0.query", "lora", 4), Choice("encoder.1.ffn_norm", "bitfit")]
    Configuration.of(choices).save(folder / "configuration.json")
    (folder / "training" / "seed-0").mkdir(parents=True)
    rows = '{"step": 1, "loss": 2.0, "validation_accuracy": 50}\n{"step": 2, "loss": 1.5}\n{"step": 3, "lo'
    (folder / "training" / "seed-0" / "log.jsonl").write_text(rows)
    return folder


def sample_errors() -> ErrorRecord:
    """Errors of all sorts, which no task has together, in labels and texts with evil names."""
    quotes = ErrorTable("mistakes", ("example", "true", "text"), (("7", EVIL, f"a secret text {EVIL} `|` ![x](y)"),))
    errors = ErrorReport(
        ("Said.",),
        CountMatrix(("good", EVIL), ((3, 1), (0, 6))),
        NumberPairs(tuple(map(float, range(10))), tuple(i + 0.5 for i in range(10))),
        (ErrorTable("of each label", ("label", "F1"), (("good", "85.71"), (EVIL, "92.31"))),),
        (quotes,),
    )
    return ErrorRecord("searched", 0, 10, errors)


def write_finished(folder: Path, **changes) -> Path:
    """A finished search by gates that also has trials, which no method has together."""
    write_unfinished(folder)
    write_results(folder, sample_results(**changes))
    sample_errors().write(folder)
    trials = [
        {"trial": i, "parameters": 300 + 100 * i, "score": value, "error": None}
        for i, value in enumerate((50.0, 60.0, None, 55.0))
    ]
    write_lines(folder / "search" / "trials.jsonl", trials)
    (folder / "search" / "pareto.json").write_text(json.dumps(trials[:2]))
    return folder
