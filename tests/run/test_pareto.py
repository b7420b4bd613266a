"""The Pareto front of a search by trials, written and trained again."""

import json

import pytest
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from peftsearch import search
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.settings import SettingError

RANDOM = {"name": "random", "trials": 3}


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_front_is_written_and_every_configuration_of_it_trained_and_proven(settings):
    changes = {"method": RANDOM, "budget": "300, 600", "pareto": True, "seeds": 2, "baseline": False}
    result = search(**settings(**changes))
    trials = rows(result.folder / "search" / "trials.jsonl")
    front = json.loads((result.folder / "search" / "pareto.json").read_text())
    assert len(trials) == 6 and front == [trials[row["trial"]] for row in front]
    for row in front:
        assert not [t for t in trials if t["parameters"] <= row["parameters"] and t["score"] > row["score"]]
    trained = result.metrics["pareto"]
    assert [row["parameters"] for row in trained] == [row["parameters"] for row in front]
    assert [row["modules"] for row in trained] == [len(row["choices"]) for row in front]
    assert all(len(row["test"]["per_seed"]) == len(row["validation"]["per_seed"]) == 2 for row in trained)
    for row in trained:
        base = AutoModelForSequenceClassification.from_pretrained(result.metrics["model"])
        adapter = result.folder / row["folder"] / "seed-1" / "adapter"
        assert count_peft_parameters(PeftModel.from_pretrained(base, str(adapter))) == row["parameters"]
    text = (result.folder / "report.html").read_text()
    assert "Choose on a Pareto front by validation" in text and "pareto/0" in text
    assert (result.folder / "figures" / "trials.svg").is_file()


def test_without_the_switch_the_front_is_written_and_not_trained(settings):
    result = search(**settings(method=RANDOM, baseline=False))
    assert (result.folder / "search" / "pareto.json").is_file() and result.metrics["pareto"] == []
    assert not (result.folder / "pareto").exists()
    assert "pareto/0" not in (result.folder / "report.html").read_text()


def test_a_method_without_trials_has_no_front_to_train(settings):
    with pytest.raises(SettingError, match="pareto is True, but must be false with the method 'bipeft'"):
        search(**settings(pareto=True))


def test_autopeft_searches_a_model_and_its_evaluations_see_their_share(settings):
    pytest.importorskip("botorch")
    method = {"name": "autopeft", "evaluations": 5, "initial": 3, "restarts": 2, "share": 0.5, "epochs": 1}
    result = search(**settings(method=method, space="s2", baseline=False))
    trials = rows(result.folder / "search" / "trials.jsonl")
    assert len(trials) == 5 and {(t["share"], t["epochs"]) for t in trials} == {(0.5, 1.0)}
    assert 0 < result.metrics["parameters"] <= 600
