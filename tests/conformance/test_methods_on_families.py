"""Every registered search method, found through the registry: within its budget, repeatable, resumable."""

from dataclasses import fields

import pytest
from stopping import stopped_often

from peftsearch import search
from peftsearch.searches.method import METHODS, Driver
from peftsearch.space import SPACES

SEARCHES = [name for name in METHODS if METHODS[name].is_search]
# Settings that make a search take seconds; a method takes those that it knows.
QUICK = {
    "max_triggers": 3,
    "warmup": 0.3,
    "weight_warmup": 1,
    "window": 1,
    "trials": 2,
    "population": 2,
    "generations": 1,
    "evaluations": 3,
    "initial": 2,
    "strategies": 1,
    "validation_examples": 8,
}
# The smallest that each can do, where that differs.
QUICKER = {"design_spaces": {"population": 1}}
# Many trials make many stops.
STEPS_BETWEEN_STOPS = {"design_spaces": 27}
TRAINING = {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 3e-3, "max_seq_length": 16}
FAMILIES = ("bert", "t5", "llama")
BUDGETS = ("500", "1500")


def quick(method: str) -> dict:
    known = {f.name for f in fields(METHODS[method].settings)}
    return {"name": method} | {name: value for name, value in QUICK.items() if name in known} | QUICKER.get(method, {})


def run(settings, method: str, family: str, budget: str, **changes):
    given = settings(family, method=quick(method), budget=budget, training=TRAINING, baseline=False)
    return search(**(given | {"max_train_samples": 24} | changes))


@pytest.mark.parametrize("method", SEARCHES)
def test_the_default_space_is_one_that_the_method_can_search(method):
    assert SPACES[METHODS[method].space].encoding in METHODS[method].encodings


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", SEARCHES)
def test_the_saved_adapter_is_within_the_budget(method, family, budget, settings):
    result = run(settings, method, family, budget)
    assert 0 < result.metrics["parameters"] <= int(budget)
    assert result.metrics["method"] == method and result.metrics["modules"] == len(result.configuration)


@pytest.mark.parametrize("method", SEARCHES)
def test_the_same_seed_gives_the_same_result_also_when_stopped_every_few_steps(
    method, settings, monkeypatch, tmp_path
):
    changes = {"training": TRAINING | {"save_steps": 1, "per_device_train_batch_size": 4}}
    first = run(settings, method, "bert", "1500", output=str(tmp_path / "first"), **changes)
    second, num_stops = stopped_often(
        lambda resume: run(
            settings, method, "bert", "1500", output=str(tmp_path / "second"), resume=resume, **changes
        ),
        monkeypatch,
        every=STEPS_BETWEEN_STOPS.get(method, 8 if METHODS[method].driver is Driver.TRIALS else 3),
    )
    assert num_stops >= 2
    assert first.configuration == second.configuration
    assert {s: first.metrics[s] for s in ("validation", "test")} == {
        s: second.metrics[s] for s in ("validation", "test")
    }
    tensors = [(found.folder / "adapter" / "adapter_model.safetensors").read_bytes() for found in (first, second)]
    assert tensors[0] == tensors[1]
    assert not list(second.folder.rglob("checkpoints"))
