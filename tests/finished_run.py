"""A small finished run, written by hand."""

import json
from pathlib import Path

from peftsearch.space import Choice, Configuration


def score(value: float, std: float | None = None) -> dict:
    per_seed = [value] if std is None else [value - std, value, value + std]
    every = {"accuracy": value, "macro_f1": value - 1, "question_exact_match": 1.0}
    return {"metric": "accuracy", "value": value, "std": std, "per_seed": per_seed, "all": every}


def results(**changes) -> dict:
    """`results.json` of a search with three seeds on GLUE from the hub."""
    return {
        "method": "bipeft",
        "space": "s2",
        "seed": 0,
        "seeds": 3,
        "command": "peftsearch search --model acme/bert --task glue/rte --budget 0.1%",
        "model": "acme/bert",
        "base_model": "acme/bert",
        "task": "glue/rte",
        "labels": ["entailment", "not_entailment"],
        "split": {
            "rule": "the validation set is halved",
            "seed": 0,
            "source": {"hub": "nyu-mll/glue", "configuration": "rte"},
            "sizes": {"train": 2490, "validation": 138, "test": 139},
        },
        "backbone_parameters": 1_000_000,
        "budget": {"requested": "0.1%", "parameters": 1000},
        "parameters": 990,
        "head_parameters": 66,
        "modules": 3,
        "modules_by_kind": {"bitfit": 2, "lora": 1},
        "metric": "accuracy",
        "validation": score(70.0, 1.0),
        "test": score(68.5, 2.0),
        "learning_rate": 0.003,
        "seconds": {"search": 5.0, "train": 10.0},
        "search_steps": 40,
        "search_cost": 0.5,
        "baseline": {"parameters": 900, "validation": score(66.0, 1.0), "test": score(66.5, 2.0)},
        "notes": [],
        "versions": {"python": "3", "torch": "2", "peft": "0"},
        "saved": {"model": "acme/bert", "num_labels": 2, "problem_type": None, "saved_as": "adapter"},
    } | changes


def write_run(folder: Path, **changes) -> Path:
    """Write the files that cards, reports and pushes read; the weights are not real."""
    (folder / "adapter").mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results(**changes)))
    (folder / "sites.json").write_text("[]")
    (folder / "config.yaml").write_text("model: acme/bert\n")
    (folder / "report.html").write_text("<html></html>")
    (folder / "adapter" / "adapter_config.json").write_text('{"peft_type": "PEFTSEARCH"}')
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    choices = [Choice("encoder.0.query", "lora", 4), Choice("encoder.0.query", "bitfit")]
    Configuration.of([*choices, Choice("encoder.embedding_norm", "bitfit")]).save(folder / "configuration.json")
    return folder
