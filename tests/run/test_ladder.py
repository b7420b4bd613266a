"""A search with several budgets: every step trained, proven within its own budget, and compared."""

import json

import pytest
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from peftsearch import search, train
from peftsearch.cli.main import main
from peftsearch.modules.attach import count_peft_parameters
from peftsearch.report.one_standard_error import standard_error
from peftsearch.report.results import Results
from peftsearch.run.experiment import Experiment
from peftsearch.space import Configuration
from peftsearch.testing.small_runs import small_run
from peftsearch.testing.stopping import counted, stopped_often

LADDER = {"budget": "1500,600", "method": {"name": "random"}}
SAVED = {"save_steps": 2, "num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def ladder(reviews, tiny_folder, tmp_path_factory):
    """Settings and result of a ladder of two seeds with baselines."""
    folder = tmp_path_factory.mktemp("ladder") / "run"
    given = dict(small_run(model=tiny_folder("bert"), reviews=reviews, output=folder, **LADDER, seeds=2))
    return given, search(**given)


def num_parameters(model: str, adapter) -> int:
    base = AutoModelForSequenceClassification.from_pretrained(model)
    return count_peft_parameters(PeftModel.from_pretrained(base, str(adapter)))


def test_every_step_is_trained_and_proven_within_its_own_budget_beside_uniform_lora(ladder):
    _, result = ladder
    metrics = result.metrics
    small, large = metrics["ladder"]
    assert [small["budget"], large["budget"]] == [600, 1500]
    assert [small["folder"], large["folder"]] == ["training", "ladder/1500"]
    for name in ("parameters", "modules", "validation", "test", "learning_rate", "baseline"):
        assert small[name] == metrics[name]
    assert 600 < large["parameters"] <= 1500
    assert large["parameters"] == num_parameters(metrics["model"], result.folder / "ladder/1500/seed-1/adapter")
    assert small["baseline"]["parameters"] <= 600 < large["baseline"]["parameters"] <= 1500
    baseline = result.folder / "ladder/1500/baseline/seed-0/adapter"
    assert large["baseline"]["parameters"] == num_parameters(metrics["model"], baseline)
    assert all(len(step[split]["per_seed"]) == 2 for step in (small, large) for split in ("validation", "test"))
    assert json.loads((baseline / "adapter_config.json").read_text())["provenance"]["budget"] == 1500


def test_the_choice_follows_from_the_validation_scores(settings):
    result = search(**settings(**LADDER, baseline=False))
    found, steps = Results.from_dict(result.metrics), result.metrics["ladder"]
    best = max(steps, key=lambda step: step["validation"]["value"])
    error = standard_error(found.ladder[steps.index(best)].validation, num_examples=12)
    good = [step["budget"] for step in steps if step["validation"]["value"] >= best["validation"]["value"] - error]
    choice = result.metrics["ladder_choice"]
    assert choice == {"budget": good[0], "best_budget": best["budget"], "standard_error": pytest.approx(error)}
    assert all(step["baseline"] is None for step in steps)
    assert not (result.folder / "ladder" / "1500" / "baseline").exists()


def test_one_budget_is_one_step_without_a_choice(settings):
    result = search(**settings(method={"name": "random"}, baseline=False))
    (step,) = result.metrics["ladder"]
    assert step["test"] == result.metrics["test"] and result.metrics["ladder_choice"] is None
    assert not (result.folder / "ladder").exists()


def test_a_step_can_be_trained_again_from_its_folder(settings, tmp_path):
    result = search(**settings(**LADDER, baseline=False))
    step = result.folder / "ladder" / "1500"
    again = train(
        **settings(configuration=str(step), method={}, budget="1500", output=str(tmp_path / "again")), baseline=False
    )
    assert again.configuration == Configuration.load(step / "configuration.json")
    assert again.metrics["test"] == result.metrics["ladder"][1]["test"]


@pytest.mark.slow
def test_a_ladder_that_is_stopped_every_few_steps_goes_on_to_the_same_bits(settings, monkeypatch, tmp_path):
    def run(name: str, resume: bool = False):
        return search(**settings(**LADDER, training=SAVED, output=str(tmp_path / name)), resume=resume)

    first, passes = counted(lambda: run("first"), monkeypatch)
    second, num_stops = stopped_often(lambda resume: run("second", resume), monkeypatch, every=7)
    # Two configurations and two baselines of 12 passes; a stop repeats at most the two since the last checkpoint.
    assert passes == 48 and num_stops >= 5
    weights = [
        sorted(path.relative_to(run.folder) for path in run.folder.rglob("*.safetensors")) for run in (first, second)
    ]
    assert weights[0] == weights[1] and len(weights[0]) >= 5
    assert all((first.folder / path).read_bytes() == (second.folder / path).read_bytes() for path in weights[0])
    for one, other in zip(first.metrics["ladder"], second.metrics["ladder"], strict=True):
        for step in (one, other):
            step["baseline"].pop("seconds")
        assert one == other


def test_a_finished_ladder_repeats_no_training(ladder, monkeypatch):
    given, first = ladder
    again, passes = counted(lambda: search(**given, resume=True), monkeypatch)
    assert passes == 0 and again.metrics["ladder"] == first.metrics["ladder"]


def test_what_a_ladder_trains_is_told_before(ladder, capsys, caplog, tmp_path):
    given, _ = ladder
    flags = [f"--{name}={given[name]}" for name in ("model", "data", "text", "label", "budget", "seeds")]
    flags.append(f"--output={tmp_path / 'run'}")
    said = "8 trainings: the configuration of each of 2 budgets and uniform LoRA beside it, with 2 seeds"
    assert main(["search", "--method=random", *flags, "--dry_run"]) == 0
    assert f"trains    {said}" in capsys.readouterr().out
    caplog.set_level("INFO")
    search(**given, resume=True)
    assert f"The search is followed by {said}." in caplog.text


def test_larger_steps_do_not_inherit_and_the_run_says_so(settings):
    result = search(**settings(budget="600,1500", inherit=True, baseline=False))
    assert any("smallest budget's configuration starts from the supernet" in note for note in result.metrics["notes"])
    assert (result.folder / "ladder" / "1500" / "seed-0" / "trained.json").is_file()


def test_a_larger_step_that_did_not_start_at_once_is_in_the_notes(settings, monkeypatch):
    # No loss is below that of guessing.
    monkeypatch.setattr(Experiment, "guess_losses", [0.0] * 12)
    training = {"num_train_epochs": 5, "per_device_train_batch_size": 8, "learning_rate": 0.1}
    notes = search(**settings(**LADDER, baseline=False, training=training)).metrics["notes"]
    assert [note for note in notes if note.startswith("ladder/1500/seed-0 ") and "did not start" in note]
