"""Learning rates that are found, heads that are probed, and trainings that do not start."""

import csv
import json
import random
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import pytest

from peftsearch import search, train
from peftsearch.errors import DivergedError
from peftsearch.files import write_json
from peftsearch.report.results import Results
from peftsearch.report.run.summary import summary_rows
from peftsearch.run.experiment import Experiment
from peftsearch.run.loss_record import LossRecord, read_rate_search
from peftsearch.run.rate_choice import Halving
from peftsearch.testing.small_runs import small_run
from peftsearch.testing.stopping import counted, stopped_often
from peftsearch.training.halving import survivors
from peftsearch.training.head_probe import probe_head

AUTO = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": "auto", "save_steps": 2}
# 48 examples: 12 steps. Three rates to step 2, two to step 3, one to step 12.
STEPS = 3 * 2 + 2 * 1 + 9


def outcome(result):
    tensors = [path.read_bytes() for path in sorted((result.folder / "adapter").glob("*.safetensors"))]
    return result.configuration, result.metrics["validation"], result.metrics["test"], tensors


def bitfit(settings, output, **changes):
    training = AUTO | changes.pop("training", {})
    given = {"configuration": "bitfit", "method": {}, "training": training, "output": str(output)}
    return train(**settings(**given | changes))


@pytest.fixture
def told_apart(monkeypatch):
    """Losses that differ enough: those of tiny models after two steps do not."""
    monkeypatch.setattr("peftsearch.run.rate_choice.keeps_all", lambda *_: False)


@pytest.mark.usefixtures("told_apart")
def test_three_rates_start_and_one_ends_for_less_than_two_trainings(settings, monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO")
    result, steps = counted(lambda: bitfit(settings, tmp_path / "run"), monkeypatch)
    assert steps == STEPS
    found = result.metrics["rate_search"]
    assert [end["step"] for end in found["rounds"]] == [2, 3]
    assert [len(end["losses"]) for end in found["rounds"]] == [3, 2]
    assert found["cost"] == pytest.approx(STEPS / 12)
    announced = "0.003, 0.01, 0.03 start, and the worse ones leave after 2 and 3 of 12 steps: 1.42 of one training"
    assert announced in caplog.text
    lowest: dict[float, float] = {}
    for end in found["rounds"]:
        losses = {float(rate): min(loss, lowest.get(float(rate), loss)) for rate, loss in end["losses"].items()}
        lowest |= losses
        assert [float(rate) for rate in end["kept"]] == list(survivors(losses, len(end["kept"])))
    assert f"{result.metrics['learning_rate']:g}" == found["rounds"][-1]["kept"][0]
    assert not (tmp_path / "run" / "training" / "rates").exists()


@pytest.fixture(scope="module")
def unbroken(reviews, tiny_folder, tmp_path_factory):
    """A search for a rate that nothing stops."""
    given = {"model": tiny_folder("bert"), "reviews": reviews}
    training = {"save_steps": 1}
    return bitfit(partial(small_run, **given), tmp_path_factory.mktemp("unbroken") / "run", training=training)


def test_the_survivor_ends_as_if_its_rate_had_been_given(unbroken, settings, tmp_path):
    rate = unbroken.metrics["learning_rate"]
    given = bitfit(settings, tmp_path / "given", training={"learning_rate": rate})
    assert outcome(unbroken) == outcome(given)
    assert given.metrics["rate_search"] is None


@pytest.mark.parametrize("every", [1, 3])
def test_a_search_for_a_rate_that_is_killed_in_any_round_ends_with_the_same_weights(
    every, unbroken, settings, monkeypatch, tmp_path
):
    second, num_stops = stopped_often(
        lambda resume: bitfit(settings, tmp_path / "second", training={"save_steps": 1}, resume=resume),
        monkeypatch,
        every=every,
    )
    assert num_stops >= STEPS // every - 1
    assert outcome(unbroken) == outcome(second)
    rounds = [result.metrics["rate_search"]["rounds"] for result in (unbroken, second)]
    assert rounds[0] == rounds[1]


@pytest.mark.usefixtures("told_apart")
def test_a_kill_in_the_round_of_two_close_rates_changes_nothing(settings, monkeypatch, tmp_path):
    monkeypatch.setattr("peftsearch.run.rate_choice.are_close", lambda _: True)
    # 24 steps: rounds after 3 and 6, and after 11 for the two that are close.
    given = {"training": {"num_train_epochs": 4, "save_steps": 2}}
    first = bitfit(settings, tmp_path / "first", **given)
    second, num_stops = stopped_often(
        lambda resume: bitfit(settings, tmp_path / "second", **given, resume=resume), monkeypatch, every=4
    )
    rounds = [result.metrics["rate_search"]["rounds"] for result in (first, second)]
    assert num_stops >= 8 and [end["step"] for end in rounds[0]] == [3, 6, 11] and rounds[0] == rounds[1]
    assert [len(end["kept"]) for end in rounds[0]] == [2, 2, 1]
    assert outcome(first) == outcome(second)


def test_a_rate_that_breaks_down_leaves(settings, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(Experiment, "candidate_rates", (3e-3, 1e30))
    result = bitfit(settings, tmp_path / "run", training={"num_train_epochs": 4})
    assert result.metrics["learning_rate"] == 3e-3
    assert result.metrics["rate_search"]["rounds"][0]["losses"]["1e+30"] is None
    assert "Rate 1e+30 leaves: The loss is" in caplog.text


def test_an_average_of_the_last_steps_survives_a_kill(settings, monkeypatch, tmp_path):
    training = {"save_steps": 1, "learning_rate": 3e-2, "average_last": 0.5, "lora_b_rate": 4.0}
    first = bitfit(settings, tmp_path / "first", training=training)
    second, num_stops = stopped_often(
        lambda resume: bitfit(settings, tmp_path / "second", training=training, resume=resume), monkeypatch, every=5
    )
    assert num_stops >= 2 and outcome(first) == outcome(second)
    log = (tmp_path / "first" / "training" / "seed-0" / "log.jsonl").read_text()
    assert log.count("validation_accuracy") == 3  # two epochs and the average


def test_further_seeds_take_the_rate_of_the_first(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(Experiment, "guess_losses", None)
    result = bitfit(settings, tmp_path / "run", seeds=2)
    folder = tmp_path / "run" / "training"
    rates = [json.loads((folder / f"seed-{seed}" / "trained.json").read_text())["learning_rate"] for seed in (0, 1)]
    assert rates == [result.metrics["learning_rate"]] * 2


def test_a_search_and_its_baseline_each_find_their_rate(settings, tmp_path):
    result = search(**settings(training=AUTO, output=str(tmp_path / "run")))
    searched, baseline = (
        read_rate_search(tmp_path / "run" / name / "rates.json") for name in ("training", "baseline")
    )
    found = Results.from_dict(result.metrics)
    assert found.rate_search == searched and found.baseline.rate_search == baseline and baseline.rounds
    said = dict(summary_rows(found))["uniform LoRA, test"]
    assert said.endswith(f"found for {baseline.cost - 1:.2f} of a training more")


def all_judge(*, guess_loss: float) -> SimpleNamespace:
    """An experiment in which the losses of judges are those of the trainings below."""
    return SimpleNamespace(judges=lambda after: "judges", guess_loss_on=lambda judges: {"judges": guess_loss}[judges])


class Scheduled:
    """A training whose losses are given."""

    LOSSES: ClassVar = {
        (3e-3, 2): 0.62, (1e-2, 2): 0.60, (3e-2, 2): 0.65,
        (1e-2, 3): 0.64, (3e-2, 3): 0.63,
    }  # fmt: skip
    experiment = all_judge(guess_loss=0.61)
    has_failed = False

    def __init__(self, rate: float, folder):
        self.rate, self.folder = rate, folder

    def run_until(self, step: int, *, judged_on: str) -> list[float]:
        assert judged_on == "judges"
        return [self.LOSSES[self.rate, step]]

    def discard_checkpoints(self) -> None:
        pass

    def run(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        done = self.folder / "trained.json"
        if not done.exists():
            done.write_text(f"{self.rate:g}")
        return done.read_text()


def test_a_rate_is_judged_by_its_lowest_loss_so_far(tmp_path):
    # The highest rate fell back to guessing and stays there; the middle one goes up and down below it. A loss that was
    # below that of guessing once is a start.
    assert Halving((3e-3, 1e-2, 3e-2), 12).train(Scheduled, tmp_path / "training" / "seed-0") == "0.01"
    last = read_rate_search(tmp_path / "training" / "rates.json").rounds[-1]
    assert last.losses == {"0.01": 0.64, "0.03": 0.63} and last.kept == ("0.01",)


def test_in_a_short_training_a_part_of_the_validation_split_judges(settings, monkeypatch, tmp_path):
    monkeypatch.setattr("peftsearch.training.judges.FEWEST_JUDGES", 5)
    judges, measure = [], LossRecord.measure

    def noted(record, training, step, *, judged_on):
        judges.append(judged_on.examples)
        return measure(record, training, step, judged_on=judged_on)

    monkeypatch.setattr(LossRecord, "measure", noted)
    bitfit(settings, tmp_path / "run", training={"num_train_epochs": 1})
    # A quarter of 6 steps are 2 of 8 examples; the split has 12.
    assert len(judges) >= 5 and len(judges[0]) == 8 and all(each == judges[0] for each in judges)


class Close(Scheduled):
    """A training whose losses cross after the second round."""

    LOSSES: ClassVar = {
        (3e-3, 20): 0.9, (1e-2, 20): 0.73, (3e-2, 20): 0.75,
        (1e-2, 40): 0.563, (3e-2, 40): 0.553,
        (1e-2, 72): 0.45, (3e-2, 72): 0.46,
    }  # fmt: skip
    experiment = all_judge(guess_loss=1.0)


def test_two_rates_that_are_close_go_on_until_one_is_better(tmp_path, caplog):
    caplog.set_level("INFO")
    assert Halving((3e-3, 1e-2, 3e-2), 160).train(Close, tmp_path / "training" / "seed-0") == "0.01"
    said = "leave after 20 and 40 of 160 steps (72 where two are close): 1.38 of one training in all, 1.57 at most"
    assert said in caplog.text and "; 20 steps more for each higher rate, where 0.03 leads." in caplog.text
    found = read_rate_search(tmp_path / "training" / "rates.json")
    assert [end.kept for end in found.rounds] == [("0.01", "0.03"), ("0.01", "0.03"), ("0.01",)]
    assert found.cost == pytest.approx((3 * 20 + 2 * 20 + 2 * 32 + 88) / 160)


class Level(Scheduled):
    """A training that has hardly begun to learn after the first round."""

    LOSSES: ClassVar = {
        (3e-3, 20): 0.609, (1e-2, 20): 0.606, (3e-2, 20): 0.625,
        (3e-3, 40): 0.587, (1e-2, 40): 0.610, (3e-2, 40): 0.624,
    }  # fmt: skip
    experiment = all_judge(guess_loss=0.626)


def test_all_rates_go_on_where_nothing_tells_them_apart(tmp_path):
    assert Halving((3e-3, 1e-2, 3e-2), 160).train(Level, tmp_path / "training" / "seed-0") == "0.003"
    found = read_rate_search(tmp_path / "training" / "rates.json")
    assert [end.kept for end in found.rounds] == [("0.003", "0.01", "0.03"), ("0.003",)]
    assert found.cost == pytest.approx((3 * 40 + 120) / 160)


class Rising(Scheduled):
    """A training that learns the faster the higher its rate, up to one."""

    LOSSES: ClassVar = {
        (3e-3, 20): 0.95, (1e-2, 20): 0.9, (3e-2, 20): 0.8, (0.1, 20): 0.7, (0.3, 20): 0.75,
        (3e-2, 40): 0.6, (0.1, 40): 0.5,
    }  # fmt: skip
    experiment = all_judge(guess_loss=1.0)


def test_higher_rates_are_tried_where_the_highest_leads(tmp_path, caplog):
    caplog.set_level("INFO")
    assert Halving((3e-3, 1e-2, 3e-2), 160).train(Rising, tmp_path / "training" / "seed-0") == "0.1"
    assert "0.03 has the lowest loss after 20 steps: 0.1 is tried too." in caplog.text
    found = read_rate_search(tmp_path / "training" / "rates.json")
    assert list(found.rounds[0].losses) == ["0.003", "0.01", "0.03", "0.1", "0.3"]
    # The highest does not lead, so it leaves; the best and the one below it go on.
    assert [end.kept for end in found.rounds] == [("0.03", "0.1"), ("0.1",)]
    assert found.cost == pytest.approx((5 * 20 + 2 * 20 + 120) / 160)


class RisingToTheHighest(Rising):
    """A training whose highest rate leads, and at which no higher one does."""

    LOSSES: ClassVar = Rising.LOSSES | {(0.1, 20): 0.85, (1e-2, 40): 0.7}


def test_a_higher_rate_that_does_not_lead_changes_nothing(tmp_path):
    assert Halving((3e-3, 1e-2, 3e-2), 160).train(RisingToTheHighest, tmp_path / "training" / "seed-0") == "0.03"
    found = read_rate_search(tmp_path / "training" / "rates.json")
    assert list(found.rounds[0].losses) == ["0.003", "0.01", "0.03", "0.1"]
    assert [end.kept for end in found.rounds] == [("0.01", "0.03"), ("0.03",)]


def test_a_second_start_after_a_rate_that_was_too_high_is_below_all(tmp_path):
    class TooHigh(Rising):
        LOSSES: ClassVar = {
            (3e-3, 20): 0.8, (1e-2, 20): 0.76, (3e-2, 20): 0.70, (0.1, 20): 0.95,
            (1e-2, 40): 0.75, (3e-2, 40): 0.692,
        }  # fmt: skip
        experiment = all_judge(guess_loss=0.69)
        again: ClassVar = []

        def start_again(self, step, loss, guess, *, tried, some_too_high):
            self.again.append((step, loss, tried, some_too_high))

    Halving((3e-3, 1e-2, 3e-2), 160).train(TooHigh, tmp_path / "training" / "seed-0")
    assert TooHigh.again == [(40, 0.692, [3e-3, 1e-2, 3e-2, 0.1], True)]


def test_a_rate_that_led_and_collapsed_does_not_win(tmp_path):
    class Collapsed(Rising):
        LOSSES: ClassVar = Rising.LOSSES | {(0.1, 40): 1.2}

    assert Halving((3e-3, 1e-2, 3e-2), 160).train(Collapsed, tmp_path / "training" / "seed-0") == "0.03"


def test_where_all_that_went_on_break_down_the_next_best_starts_anew(tmp_path):
    class BreaksDown(Rising):
        def run_until(self, step, *, judged_on):
            if step == 40:
                raise DivergedError("no number")
            return super().run_until(step, judged_on=judged_on)

    assert Halving((3e-3, 1e-2, 3e-2), 160).train(BreaksDown, tmp_path / "training" / "seed-0") == "0.01"
    assert read_rate_search(tmp_path / "training" / "rates.json").cost == pytest.approx((5 * 20 + 2 * 20 + 160) / 160)


@pytest.mark.parametrize("stop", range(7))
def test_a_search_that_is_killed_among_higher_rates_ends_alike(stop, tmp_path):
    trained = []

    class Killed(Rising):
        def run_until(self, step, *, judged_on):
            if len(trained) == stop and "killed" not in trained:
                trained.append("killed")
                raise KeyboardInterrupt
            trained.append((self.rate, step))
            return super().run_until(step, judged_on=judged_on)

    folder = tmp_path / "training" / "seed-0"
    with pytest.raises(KeyboardInterrupt):
        Halving((3e-3, 1e-2, 3e-2), 160).train(Killed, folder)
    assert Halving((3e-3, 1e-2, 3e-2), 160).train(Killed, folder) == "0.1"
    done = [each for each in trained if each != "killed"]
    assert len(done) == len(set(done)) == 7
    found = read_rate_search(tmp_path / "training" / "rates.json")
    assert [end.kept for end in found.rounds] == [("0.03", "0.1"), ("0.1",)]
    assert found.cost == pytest.approx((5 * 20 + 2 * 20 + 120) / 160)


def test_no_higher_rate_is_tried_where_no_later_round_could_judge_it(tmp_path):
    class Short(Rising):
        LOSSES: ClassVar = {(3e-3, 1): 0.95, (1e-2, 1): 0.9, (3e-2, 1): 0.5}

    # Of 4 steps there is one round.
    assert Halving((3e-3, 1e-2, 3e-2), 4).train(Short, tmp_path / "training" / "seed-0") == "0.03"


# -- the head


def test_every_training_of_a_seed_starts_with_the_same_probed_head(settings, monkeypatch, tmp_path):
    probes = []

    def probe(*given, seed, **named):
        probes.append(seed)
        return probe_head(*given, seed=seed, **named)

    monkeypatch.setattr("peftsearch.run.head_start.probe_head", probe)
    result = search(**settings(output=str(tmp_path / "run"), seeds=2))
    assert probes == [0, 1]
    found = result.metrics["head_probe"]
    assert found["loss"] <= found["fresh_loss"] and found["num_rows"] == 48
    assert sorted(path.name for path in (tmp_path / "run" / "head").iterdir()) == ["seed-0", "seed-1"]


def test_a_fresh_head_stays_as_drawn(settings, tmp_path):
    result = bitfit(settings, tmp_path / "run", training={"learning_rate": 3e-3, "head_start": "fresh"})
    assert result.metrics["head_probe"] is None and not (tmp_path / "run" / "head").exists()


def test_text_to_text_has_no_head_to_probe(settings, tmp_path):
    run = settings("t5", configuration="lnfit", method={}, training=AUTO, output=str(tmp_path / "run"))
    result = train(**run)
    assert result.metrics["head_probe"] is None and result.metrics["rate_search"]["rounds"]


# -- trainings that do not start


# With this rate a training starts again.
TOO_HIGH = {"num_train_epochs": 5, "learning_rate": 0.1, "head_start": "fresh"}


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> str:
    """Files whose labels have nothing to do with the texts."""
    rng, paths, folder = random.Random(3), [], tmp_path_factory.mktemp("noise")
    for name, size in (("train", 48), ("valid", 24), ("test", 24)):
        path = folder / f"{name}.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["review", "stars"])
            rows.writerows([f"word{rng.randrange(40)} film", rng.choice(("up", "down"))] for _ in range(size))
        paths.append(str(path))
    return ",".join(paths)


@pytest.mark.parametrize("rate", ["auto", 1e-3])
def test_labels_that_nothing_explains_end_with_words(rate, noise, settings, tmp_path):
    result = bitfit(settings, tmp_path / "run", data=noise, training={"num_train_epochs": 5, "learning_rate": rate})
    (note,) = [note for note in result.metrics["notes"] if "does not beat guessing" in note]
    assert note.startswith("training/seed-0 ends with a validation loss of")
    assert (
        "does not beat guessing by the labels' frequencies, or not beyond noise" in note
        and "look at some rows" in note
    )


def test_a_training_that_does_not_start_starts_again_at_another_rate(noise, settings, tmp_path, caplog):
    result = bitfit(settings, tmp_path / "run", data=noise, training=TOO_HIGH)
    assert "bitfit did not start: after 6 steps at rate 0.1 its lowest validation loss was" in caplog.text
    assert "It starts again at rate 0.0333333." in caplog.text
    assert result.metrics["learning_rate"] == pytest.approx(0.1 / 3)
    (note,) = [note for note in result.metrics["notes"] if "did not start" in note]
    assert note.startswith("training/seed-0 did not start: after") and note.endswith("6 steps were taken in vain.")


@pytest.mark.usefixtures("told_apart")
def test_a_search_for_a_rate_that_finds_none_starts_again(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(Experiment, "guess_losses", [0.0] * 12)
    result = bitfit(settings, tmp_path / "run")
    failed = json.loads((tmp_path / "run" / "training" / "seed-0" / "failed_start.json").read_text())
    # Below all rates that were tried.
    assert failed["step"] == 3 and result.metrics["learning_rate"] == pytest.approx(1e-3)
    assert result.metrics["rate_search"]["cost"] == pytest.approx((STEPS + 3) / 12)


@pytest.fixture(scope="module")
def started_again(noise, reviews, tiny_folder, tmp_path_factory):
    """A training whose second start nothing stops."""
    make = partial(small_run, model=tiny_folder("bert"), reviews=reviews)
    return bitfit(make, tmp_path_factory.mktemp("started_again") / "run", data=noise, training=TOO_HIGH)


def test_a_second_start_that_is_killed_goes_on(started_again, noise, settings, monkeypatch, tmp_path):
    second, num_stops = stopped_often(
        lambda resume: bitfit(settings, tmp_path / "second", data=noise, training=TOO_HIGH, resume=resume),
        monkeypatch,
        every=7,
    )
    assert num_stops >= 4 and outcome(started_again) == outcome(second)


@contextmanager
def killed_before_a_failed_start_is_recorded(monkeypatch):
    def killed(path, document):
        if path.name == "failed_start.json":
            raise KeyboardInterrupt
        write_json(path, document)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("peftsearch.run.training.write_json", killed)
        yield


def test_a_kill_before_a_second_start_is_recorded_repeats_the_first(
    started_again, noise, settings, monkeypatch, tmp_path
):
    training = TOO_HIGH | {"save_steps": 1}
    with killed_before_a_failed_start_is_recorded(monkeypatch):
        bitfit(settings, tmp_path / "second", data=noise, training=training)
    second = bitfit(settings, tmp_path / "second", data=noise, training=training, resume=True)
    assert outcome(started_again) == outcome(second)
    failed = json.loads((tmp_path / "second" / "training" / "seed-0" / "failed_start.json").read_text())
    assert second.metrics["learning_rate"] == pytest.approx(failed["next_rate"]) == pytest.approx(0.1 / 3)


def test_a_grid_trains_every_rate_to_its_end(noise, settings, tmp_path):
    training = {"num_train_epochs": 2, "head_start": "fresh"}
    result = bitfit(settings, tmp_path / "run", data=noise, training=training, learning_rate_grid="1e-3,0.1")
    grid = tmp_path / "run" / "training" / "grid"
    rates = {path.name: json.loads((path / "trained.json").read_text())["learning_rate"] for path in grid.iterdir()}
    assert rates == {"0.001": 1e-3, "0.1": 0.1} and result.metrics["learning_rate"] in rates.values()


def test_trackers_end_with_a_training_that_does_not_start(noise, settings, monkeypatch, tmp_path):
    ended = []
    monkeypatch.setattr("peftsearch.training.trainer.TaskTrainer._end_trackers", lambda self: ended.append(self))
    bitfit(settings, tmp_path / "run", data=noise, training=TOO_HIGH)
    assert len(ended) == 1


@pytest.mark.usefixtures("told_apart")
def test_a_kill_as_a_search_for_a_rate_starts_again_keeps_its_cost(settings, monkeypatch, tmp_path):
    monkeypatch.setattr(Experiment, "guess_losses", [0.0] * 12)

    with killed_before_a_failed_start_is_recorded(monkeypatch):
        bitfit(settings, tmp_path / "run")
    result = bitfit(settings, tmp_path / "run", resume=True)
    assert result.metrics["rate_search"]["cost"] == pytest.approx((STEPS + 3) / 12)
