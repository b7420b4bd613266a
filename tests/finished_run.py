"""A small finished run, written by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch.report.result_parts import (
    GrantedBudget,
    HandBaseline,
    HandedOver,
    SavedResult,
    SeedScores,
    SplitRecord,
    UniformBaseline,
    WallTime,
)
from peftsearch.report.results import Results
from peftsearch.space import Choice, Configuration


def score(value: float, std: float | None = None) -> SeedScores:
    """Scores of one seed, or of three with that deviation."""
    per_seed = (value,) if std is None else (value - std, value, value + std)
    every = {"accuracy": value, "macro_f1": value - 1, "question_exact_match": 1.0}
    return SeedScores("accuracy", value, std, per_seed, every)


def uniform(parameters: int, *, validation: SeedScores, test: SeedScores, seconds: float = 8.0) -> UniformBaseline:
    return UniformBaseline(
        name="uniform LoRA",
        rank=2,
        roles=("query", "value"),
        modules=2,
        parameters=parameters,
        learning_rate=0.001,
        validation=validation,
        test=test,
        seconds=seconds,
    )


def by_hand(name: str, *, validation: SeedScores, test: SeedScores) -> HandBaseline:
    return HandBaseline(name, 7, {"lnfit": 5, "lora": 2}, 950, 0.002, validation, test, 8.0)


def handed_over(found: HandBaseline) -> HandedOver:
    """The record of a hand recipe that was better than the search."""
    sizes = (found.modules, found.modules_by_kind, found.parameters, found.learning_rate)
    reason = f"The baseline {found.name} is handed over: 72 against 70."
    return HandedOver(found.name, reason, f"baselines/{found.name}", *sizes, found.validation, found.test)


def results(**changes: Any) -> Results:
    """`results.json` of a search with three seeds on GLUE from the hub."""
    found = Results(
        method="bipeft",
        space="s2",
        seed=0,
        seeds=3,
        command="peftsearch search --model acme/bert --task glue/rte --budget 0.1%",
        model="acme/bert",
        base_model="acme/bert",
        task="glue/rte",
        labels=("entailment", "not_entailment"),
        split=SplitRecord(
            rule="the validation set is halved",
            source={"hub": "nyu-mll/glue", "configuration": "rte"},
            sizes={"train": 2490, "validation": 138, "test": 139},
        ),
        backbone_parameters=1_000_000,
        budget=GrantedBudget("0.1%", 1000),
        parameters=990,
        head_parameters=66,
        modules=3,
        modules_by_kind={"bitfit": 2, "lora": 1},
        metric="accuracy",
        selection_metric="accuracy",
        validation=score(70.0, 1.0),
        test=score(68.5, 2.0),
        learning_rate=0.003,
        seconds=WallTime(search=5.0, train=10.0),
        search_steps=40,
        search_cost=0.5,
        baseline=uniform(900, validation=score(66.0, 1.0), test=score(66.5, 2.0)),
        versions={"python": "3", "torch": "2", "peft": "0"},
        saved=SavedResult("acme/bert", 2, None, "adapter"),
    )
    return replace(found, **changes)


def write_results(folder: Path, found: Results) -> None:
    (folder / "results.json").write_text(json.dumps(found.to_dict()))


def write_run(folder: Path, **changes: Any) -> Path:
    """Write the files that cards, reports and pushes read; the weights are not real."""
    (folder / "adapter").mkdir(parents=True)
    write_results(folder, results(**changes))
    (folder / "sites.json").write_text("[]")
    (folder / "config.yaml").write_text("model: acme/bert\n")
    (folder / "report.html").write_text("<html></html>")
    (folder / "adapter" / "adapter_config.json").write_text('{"peft_type": "PEFTSEARCH"}')
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    choices = [Choice("encoder.0.query", "lora", 4), Choice("encoder.0.query", "bitfit")]
    Configuration.of([*choices, Choice("encoder.embedding_norm", "bitfit")]).save(folder / "configuration.json")
    return folder
