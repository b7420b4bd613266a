"""A run folder written by hand, with markup wherever a run holds text from outside."""

import json

import pytest

from peftsearch.space import Choice, Configuration

EVIL = "<script>alert('x')</script>"


def score(value: float, std: float | None = None) -> dict:
    per_seed = [value] if std is None else [value - std, value, value + std]
    return {"metric": "accuracy", "value": value, "std": std, "per_seed": per_seed, "all": {"accuracy": value}}


def results(**changes) -> dict:
    return {
        "method": "bipeft",
        "space": "s2",
        "seed": 0,
        "model": EVIL,
        "task": EVIL,
        "split": {"rule": EVIL, "sizes": {"train": 10, EVIL: 5}},
        "backbone_parameters": 1_000_000,
        "budget": {"requested": "0.1%", "parameters": 1000},
        "parameters": 990,
        "head_parameters": 66,
        "modules": 2,
        "modules_by_kind": {"bitfit": 1, "lora": 1},
        "metric": "accuracy",
        "selection_metric": "accuracy",
        "validation": score(90.0),
        "test": score(91.0),
        "learning_rate": 0.003,
        "seconds": {"search": 5.0, "train": 10.0},
        "search_cost": 0.5,
        "baseline": {"parameters": 900, "validation": score(88.0), "test": score(90.0)},
        "truncated_examples": {"train": 0, EVIL: 1},
        "notes": [EVIL],
        "ladder": [{"budget": 1000, "parameters": 990}, {"budget": 2000, "parameters": 1900}],
        "versions": {"torch": "2"},
    } | changes


def search_row(step: int) -> dict:
    return {
        "step": step,
        "expected_parameters": 4000 - 500 * step,
        "live_modules": 9 - step,
        "stability": None if step < 2 else 0.9,
        "loss_weights": 1.0,
        "triggers": max(0, step - 2),
    }


def write_lines(path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def unfinished(tmp_path):
    """A run that was stopped during its search."""
    sites = [
        {"name": f"encoder.{i}.{role}", "stack": "encoder", "layer": i, "role": role}
        for i in range(2)
        for role in ("query", "ffn_norm")
    ]
    sites.append({"name": "encoder.final_norm", "stack": "encoder", "layer": 2, "role": "final_norm"})
    (tmp_path / "sites.json").write_text(json.dumps(sites))
    (tmp_path / "config.yaml").write_text(f"model: {EVIL}\n")
    (tmp_path / "environment.json").write_text(json.dumps({"command": f"peftsearch search --model {EVIL}"}))
    write_lines(tmp_path / "search" / "log.jsonl", map(search_row, range(6)))
    return tmp_path


@pytest.fixture
def run(unfinished):
    """A finished run of two modules."""
    write_lines(
        unfinished / "training" / "seed-0" / "log.jsonl",
        [{"step": 1, "loss": 2.0}, {"step": 2, "validation_accuracy": 50}],
    )
    write_lines(unfinished / "baseline" / "seed-0" / "log.jsonl", [{"step": 1, "loss": 3.0}])
    (unfinished / "results.json").write_text(json.dumps(results()))
    choices = [Choice("encoder.0.query", "lora", 4), Choice("encoder.1.ffn_norm", "bitfit")]
    Configuration.of(choices).save(unfinished / "configuration.json")
    return unfinished
