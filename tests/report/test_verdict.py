"""The sentence about a search, against intervals from a table of Student's t."""

from typing import Any

import pytest
from finished_run import results as finished
from finished_run import uniform

from peftsearch.report.results import Results, SeedScores
from peftsearch.report.verdict import Payoff, judge, verdict


def scores(per_seed: list[float]) -> SeedScores:
    return SeedScores("macro_f1", sum(per_seed) / len(per_seed), None, tuple(per_seed), {})


def results(own: list[float], other: list[float], **changes: Any) -> Results:
    baseline = uniform(900, validation=scores(other), test=scores(other))
    search = {"metric": "macro_f1", "test": scores(own), "baseline": baseline, "search_cost": 0.4}
    return finished(**search | changes)


def test_a_gain_is_given_with_its_interval_and_its_cost():
    # Differences 1.5, 1.8, 2.1: deviation 0.3, t(2) = 4.303, so 4.303 * 0.3 / sqrt(3) = 0.745.
    found = judge(results([71.5, 71.8, 72.1], [70.0, 70.0, 70.0]))
    assert found.payoff == Payoff.GAIN
    assert found.sentence == (
        "The search gained +1.80 ± 0.75 points of test macro f1 over uniform LoRA at the same budget, "
        "at 0.40 of a training run."
    )


def test_seeds_are_compared_in_pairs():
    # The scores of both vary by 10 points from seed to seed, their differences hardly.
    assert judge(results([51.0, 61.1, 71.0], [50.0, 60.0, 70.0])).payoff == Payoff.GAIN


@pytest.mark.parametrize(
    "own,start",
    [
        # Differences 0 and 2: 12.706 * 1.414 / sqrt(2) = 12.71.
        ([70.0, 72.0], "No gain beyond noise: the search scored +1.00 ± 12.71 points"),
        ([68.0, 68.1], "No gain: the search lost 1.95 ± 0.64 points"),
        ([70.0, 70.0], "No gain beyond noise: the search scored +0.00 ± 0.00 points"),
    ],
)
def test_what_is_no_gain_is_called_so(own, start):
    found = judge(results(own, [70.0, 70.0]))
    assert found.payoff == Payoff.NO_GAIN and found.sentence.startswith(start)


@pytest.mark.parametrize(
    "own,payoff,part",
    [
        (71.0, Payoff.OPEN, "scored +1.00 points"),
        (70.0, Payoff.NO_GAIN, "scored the same as"),
        (69.0, Payoff.NO_GAIN, "scored -1.00 points"),
    ],
)
def test_one_seed_shows_no_gain(own, payoff, part):
    found = judge(results([own], [70.0]))
    assert found.payoff == payoff and part in found.sentence
    assert "one seed cannot tell that from noise" in found.sentence


def test_a_cost_above_one_training_is_given_in_trainings():
    assert verdict(results([70.0], [70.0], search_cost=12.34)).count("at 12.3 training runs") == 1


def test_without_a_search_or_a_baseline_nothing_is_claimed():
    assert verdict(results([70.0], [70.0], space=None)).startswith("Nothing was searched: bipeft scores 70.00 test")
    found = judge(results([70.0], [70.0], baseline=None))
    assert found.payoff == Payoff.OPEN and "uniform LoRA was not trained" in found.sentence
