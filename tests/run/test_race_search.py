"""A race in a run: its record, the winner's training, a ladder."""

import importlib.util
import math

import pytest

from peftsearch import search
from peftsearch.api.runs import Result
from peftsearch.errors import BudgetError, ConfigurationError, NothingFoundError
from peftsearch.files import read_rows
from peftsearch.run.dry_run import describe_search
from peftsearch.run.experiment import Experiment
from peftsearch.run.folder import read_json
from peftsearch.run.make_config import make_config
from peftsearch.settings import SettingError
from peftsearch.space import Configuration
from peftsearch.testing.stopping import stopped_often

RACE = {
    "name": "race",
    "searches": "pursuit",
    "recipes": "uniform_lora,lnfit,bitfit,lora_qv",
    "draws": 1,
    "rates": 2,
    "cost": 4,
}
# 48 examples: 48 steps, with rungs after 2, 3, 6, 12, 24 and 36.
TRAINING = {"num_train_epochs": 4, "per_device_train_batch_size": 4, "learning_rate": "auto", "max_seq_length": 16}


@pytest.fixture(autouse=True)
def no_guess(monkeypatch):
    """Tiny models learn so little here that their winners would start again."""
    monkeypatch.setattr(Experiment, "guess_losses", None)


def test_the_worse_lanes_leave_and_the_best_is_trained_on_to_its_end(settings):
    result = search(**settings(method=RACE | {"draws": 4}, training=TRAINING, baseline=False, budget="1200"))
    rows = read_rows(result.folder / "search" / "lanes.jsonl")
    last = max(row["step"] for row in rows)
    winner = min((row for row in rows if row["step"] == last), key=lambda row: row["loss"])["lane"]
    name, rate = winner.split(" at ")
    assert result.metrics["learning_rate"] == float(rate)
    lanes = {row["lane"] for row in rows}
    entrants = {lane.split(" at ")[0] for lane in lanes}
    assert {lane for lane in lanes if lane.endswith(" at 0.01")} == {f"{entrant} at 0.01" for entrant in entrants}
    assert "pursuit" in entrants
    # The best one at the step of the third rung starts at the other rate as well, the next one where that is better.
    at_third = {row["lane"]: row["loss"] for row in rows if row["step"] == 6}
    best, second = sorted((lane for lane in at_third if lane.endswith(" at 0.01")), key=at_third.__getitem__)[:2]
    retried = best.replace("0.01", "0.02")
    joined = {retried, second.replace("0.01", "0.02")} if at_third[retried] < at_third[best] else {retried}
    assert {lane for lane in lanes if lane.endswith(" at 0.02")} == joined
    log = read_rows(result.folder / "training" / "seed-0" / "log.jsonl")
    steps = [row["step"] for row in log if "loss" in row]
    assert steps == sorted(set(steps)) and max(row["step"] for row in log) == 48
    # The steps of the winner are those of its training.
    others: dict[str, int] = {}
    for row in rows:
        others[row["lane"]] = row["step"]
    assert read_json(result.folder / "search" / "search.json")["steps"] == sum(
        step for lane, step in others.items() if lane != winner
    )
    assert not (result.folder / "search" / "lanes").exists()
    assert "Race within 1,200 parameters" in (result.folder / "report.html").read_text()
    by_step: dict[int, set[str]] = {}
    for row in rows:
        by_step.setdefault(row["step"], set()).add(row["lane"])
    going = [{lane for lane in by_step[step] if lane.endswith("0.01")} for step in sorted(by_step)]
    assert sorted(by_step)[:2] == [2, 3]
    assert all(later <= earlier for earlier, later in zip(going, going[1:], strict=False))
    # Four or a half of the lanes, and a close rival.
    assert len(going[0]) > 5 and len(going[1]) <= max(4, -(-len(going[0]) // 2)) + 1
    assert len(by_step[max(by_step)]) <= 2


def test_what_two_searches_find_races_by_default(settings):
    result = search(**settings(method="race", training=TRAINING, baseline=False, budget="1200"))
    rows = read_rows(result.folder / "search" / "lanes.jsonl")
    folders = {name: result.folder / "search" / name for name in ("pursuit", "bipeft")}
    found = {name: Configuration.load(folder / "configuration.json") for name, folder in folders.items()}
    assert result.configuration in found.values()
    step = min(row["step"] for row in rows)
    losses = {row["lane"]: row["loss"] for row in rows if row["step"] == step}
    best, other = sorted(found, key=lambda name: losses[f"{name} at 0.01"])
    of_best = {each: losses.get(f"{best} at {each:g}", math.inf) for each in (0.01, 0.02, 0.04, 0.08, 0.005)}
    rate = min(of_best, key=of_best.__getitem__)
    rising = (0.01, 0.02, 0.04, 0.08)
    # Up to the first rate that does not help; where that is the second one, down.
    end = next((i for i in (1, 2, 3) if of_best[rising[i]] >= of_best[rising[i - 1]]), 3)
    tried = (*rising[: end + 1], *((0.005,) if of_best[0.02] >= of_best[0.01] else ()))
    assert set(losses) == {f"{best} at {each:g}" for each in tried} | {f"{other} at {each:g}" for each in {0.01, rate}}
    # What it was found by is told of, and both searches count.
    searches = [read_json(folder / "search" / "search.json") for folder in folders.values()]
    record = read_json(result.folder / "search" / "search.json")
    assert record["seconds"] > sum(each["seconds"] for each in searches)
    assert record["steps"] > sum(each["steps"] for each in searches)


def test_each_budget_of_a_ladder_has_a_race(settings):
    result = search(**settings(method=RACE | {"searches": ""}, training=TRAINING, baseline=False, budget="600,1200"))
    rows = read_rows(result.folder / "search" / "lanes.jsonl")
    assert {row["budget"] for row in rows} == {600, 1200}
    ladder = read_json(result.folder / "results.json")["ladder"]
    assert [step["parameters"] <= step["budget"] for step in ladder] == [True, True]
    found = read_json(result.folder / "ladder" / "1200" / "found_rate.json")
    assert ladder[1]["learning_rate"] == found["learning_rate"]


def test_a_dry_run_names_the_lanes_and_the_cost(settings):
    config = make_config(settings(method=RACE | {"cost": 2}, training=TRAINING, budget="1200"))
    (line,) = [line for line in describe_search(config).splitlines() if line.startswith("race")]
    assert "pursuit, uniform_lora, " in line and "each at 0.01, the best also at 0.02" in line
    cost = float(line.partition("; ")[2].partition(" ")[0])
    assert 1 < cost <= 2


def test_a_dry_run_of_a_ladder_says_that_each_budget_has_a_race_and_who_has_no_place(settings):
    config = make_config(settings(method=RACE | {"recipes": "lnfit,lora_qv"}, training=TRAINING, budget="600,1200"))
    (line,) = [line for line in describe_search(config).splitlines() if line.startswith("race")]
    assert "trainings in each of 2 races" in line and "; without lnfit: it takes" in line


def test_a_candidate_above_one_budget_of_a_ladder_is_refused_before_the_run(settings, tmp_path):
    found = search(
        **settings(method={"name": "pursuit"}, baseline=False, budget="1200", output=str(tmp_path / "earlier"))
    )
    method = RACE | {"candidates": str(found.folder)}
    config = make_config(settings(method=method, training=TRAINING, budget="600,1200"))
    with pytest.raises(BudgetError, match="The candidate .* parameters, but the budget is 600"):
        describe_search(config)


def test_a_race_in_which_nothing_has_a_place_is_refused_before_the_run(settings):
    method = {"name": "race", "searches": "", "recipes": "lora_qv"}
    config = make_config(settings(method=method, training=TRAINING, budget="40"))
    with pytest.raises(ConfigurationError, match=r"Nothing takes part in the race within 40 parameters\. lora_qv: "):
        describe_search(config)


def test_a_race_over_rates_ends_alike_however_often_it_is_killed(settings, monkeypatch, tmp_path):
    method = RACE | {"recipes": "lnfit,lora_qv", "draws": 0, "rates": 3}
    given = settings(method=method, training=TRAINING | {"save_steps": 3}, baseline=False, budget="1200")

    def run(name: str, resume: bool) -> Result:
        return search(**given | {"output": str(tmp_path / name), "resume": resume})

    whole = run("whole", False)
    broken, num_stops = stopped_often(lambda resume: run("broken", resume), monkeypatch, every=20)
    rows = [read_rows(result.folder / "search" / "lanes.jsonl") for result in (whole, broken)]
    assert num_stops >= 5 and len({row["lane"].split(" at ")[1] for row in rows[0]}) >= 2
    assert [row | {"seconds": 0} for row in rows[0]] == [row | {"seconds": 0} for row in rows[1]]
    saved = [result.folder / "adapter" / "adapter_model.safetensors" for result in (whole, broken)]
    assert saved[0].read_bytes() == saved[1].read_bytes()


def test_a_given_grid_of_rates_is_raced(settings):
    given = settings(method=RACE | {"recipes": "lnfit", "draws": 0}, training=TRAINING, baseline=False, budget="1200")
    result = search(**given, learning_rate_grid="2e-3,4e-3,8e-3,1.6e-2")
    rows = read_rows(result.folder / "search" / "lanes.jsonl")
    tried = {float(row["lane"].split(" at ")[1]) for row in rows}
    assert {0.008, 0.016} <= tried <= {0.002, 0.004, 0.008, 0.016}
    assert result.metrics["learning_rate"] in tried and result.metrics["search_learning_rate"] == 0.008


def test_a_winner_that_is_no_better_than_guessing_starts_again_at_another_rate(settings, monkeypatch, caplog):
    monkeypatch.setattr(Experiment, "guess_losses", [0.01] * 12)
    given = settings(method=RACE | {"recipes": "lnfit", "draws": 0}, training=TRAINING, baseline=False, budget="1200")
    result = search(**given)
    rows = read_rows(result.folder / "search" / "lanes.jsonl")
    end = max(row["step"] for row in rows)
    last = min((row for row in rows if row["step"] == end), key=lambda row: row["loss"])
    losses = [row["loss"] for row in rows if row["lane"] == last["lane"]]
    failed = read_json(result.folder / "training" / "seed-0" / "failed_start.json")
    assert failed["step"] == end and failed["loss"] == min(losses)
    assert failed["next_rate"] == result.metrics["learning_rate"] == 0.01 / 3
    assert "It starts again at rate 0.00333333." in caplog.text
    assert any("did not start" in note for note in result.metrics["notes"])
    log = read_rows(result.folder / "training" / "seed-0" / "log.jsonl")
    assert max(row["step"] for row in log) == 48


def test_a_search_that_finds_nothing_takes_no_part(settings, monkeypatch, caplog):
    def nothing(*_):
        raise NothingFoundError("The gradients agree on no module.")

    monkeypatch.setattr("peftsearch.run.growth_search.require_modules", nothing)
    result = search(**settings(method="race", training=TRAINING, baseline=False, budget="1200"))
    assert "pursuit takes no part in the race: The gradients agree on no module." in caplog.text
    assert {row["lane"].split(" at ")[0] for row in read_rows(result.folder / "search" / "lanes.jsonl")} == {"bipeft"}


def test_a_race_that_is_to_inherit_weights_is_refused_before_the_run(settings):
    config = make_config(settings(method="race", inherit=True))
    with pytest.raises(SettingError, match="inherit is True, but must be false in a race"):
        describe_search(config)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.slow
def test_two_workers_find_what_one_finds(settings, tmp_path):
    method = RACE | {"recipes": "uniform_lora,lnfit", "draws": 0, "searches": ""}
    found = {}
    for workers in (1, 2):
        output = str(tmp_path / str(workers))
        result = search(
            **settings(method=method, training=TRAINING, baseline=False, budget="1200", workers=workers, output=output)
        )
        rows = read_rows(result.folder / "search" / "lanes.jsonl")
        losses = {(row["lane"], row["step"]): row["losses"] for row in rows}
        found[workers] = result.configuration, result.metrics["learning_rate"], result.metrics["test"], losses
    assert found[1] == found[2]


def test_several_workers_are_refused_where_nothing_runs_at_the_same_time(settings):
    with pytest.raises(SettingError, match="workers is 2, but must be 1 with the method 'pursuit'"):
        make_config(settings(method="pursuit", workers=2))


def test_a_search_whose_result_would_not_start_is_left_out(settings, caplog):
    caplog.set_level("INFO")
    given = settings(method={"name": "race", "cost": 1.6}, training=TRAINING, baseline=False, budget="1200")
    (line,) = [line for line in describe_search(make_config(given)).splitlines() if line.startswith("race")]
    assert "pursuit, each at 0.01" in line and line.endswith("; without bipeft: it would cost too much")
    result = search(**given)
    assert "Left out, so that the race costs at most 1.6 trainings: bipeft." in caplog.text
    assert "Searching with bipeft" not in caplog.text and not (result.folder / "search" / "bipeft").exists()
    # Bipeft would have told of its short search.
    assert not any("trigger" in note for note in result.metrics["notes"])
