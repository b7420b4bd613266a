"""Methods that gate a supernet, from data to configurations."""

import json

import pytest

from peftsearch import search

METHODS = {
    "s3delta-first": ({"name": "s3delta", "order": "first", "rank": 4}, 2),
    "s3delta-second": ({"name": "s3delta", "rank": 4}, 2),
    "prunepeft-component": ({"name": "prunepeft"}, 1),
    "prunepeft-module": ({"name": "prunepeft", "structure": "module", "score": "absolute_sum"}, 1),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_search_stays_within_each_of_its_budgets(name, settings):
    """That it repeats is a contract of every method: see the conformance suite."""
    method, parts = METHODS[name]
    result = search(**settings(method=method, space="s2", budget="900,2000", baseline=False))
    sizes = [(rung["parameters"], rung["budget"]) for rung in result.metrics["ladder"]]
    assert len(sizes) == 2 and all(0 < size <= budget for size, budget in sizes)
    steps = json.loads((result.folder / "search" / "search.json").read_text())["steps"]
    trained = [
        json.loads(line) for line in (result.folder / "training" / "seed-0" / "log.jsonl").read_text().splitlines()
    ]
    assert steps == pytest.approx(trained[-1]["step"] / parts, abs=2)  # a half may round up its last batch


def test_s3delta_keeps_the_expected_size_at_the_budget_and_scores_each_epoch(settings):
    method = {"name": "s3delta", "rank": 4, "order": "first"}
    result = search(**settings("t5", method=method, space="s2", budget="900", baseline=False))
    assert {c.rank for c in result.configuration if c.kind in ("lora", "low_rank_adapter")} <= {4}
    rows = [json.loads(line) for line in (result.folder / "search" / "log.jsonl").read_text().splitlines()]
    expected = [row["expected_parameters"] for row in rows if "expected_parameters" in row]
    # p stays a ten-millionth off 0 and 1, which moves the sum by up to that share of the space.
    assert expected == pytest.approx([900] * len(expected), rel=1e-4)
    assert sum("validation_accuracy" in row for row in rows) == 2
