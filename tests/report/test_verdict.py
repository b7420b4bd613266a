"""The sentence about a search, against intervals from a table of Student's t."""

from typing import Any

import pytest
from finished_run import results as finished
from finished_run import uniform

from peftsearch.report.result_parts import HandBaseline, LadderStep, SeedScores
from peftsearch.report.results import Results
from peftsearch.report.verdict import Payoff, judge, verdict


def scores(per_seed: list[float]) -> SeedScores:
    mean = sum(per_seed) / len(per_seed)
    return SeedScores("macro_f1", mean, None, tuple(per_seed), {"macro_f1": mean, "accuracy": mean})


def results(own: list[float], other: list[float], **changes: Any) -> Results:
    baseline = uniform(900, validation=scores(other), test=scores(other))
    search = {"metric": "macro_f1", "test": scores(own), "baseline": baseline, "search_cost": 0.4}
    return finished(**search | changes)


def test_a_gain_is_given_with_its_interval_and_its_cost():
    # Differences 1.5, 1.8, 2.1: deviation 0.3, t(2) = 4.303, so 4.303 * 0.3 / sqrt(3) = 0.745.
    found = judge(results([71.5, 71.8, 72.1], [70.0, 70.0, 70.0]))
    assert found.payoff == Payoff.GAIN
    assert found.sentence == (
        "The search gained +1.80 ± 0.75 points of test macro F1 over uniform LoRA at the same budget, "
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


def ladder(*baselines: tuple[int, list[float]]) -> tuple[LadderStep, ...]:
    """Steps whose uniform LoRA has so many parameters and such test scores."""
    found = [uniform(size, validation=scores(test), test=scores(test)) for size, test in baselines]
    return tuple(LadderStep(one.parameters, one.parameters, 1, baseline=one) for one in found)


LOW = (900, [70.0, 70.0])


@pytest.mark.parametrize(
    "larger,said",
    [
        # The smallest that scores 72 or more on the mean; 2970 are 3 times the search's 990.
        (
            [(1980, [71.9, 71.9]), (2970, [73.0, 71.0]), (9900, [80.0, 80.0])],
            "Of the measured sizes, uniform LoRA needs 2,970 parameters for that score, 3.0 times as many.",
        ),
        ([(1980, [71.0, 71.9])], "No measured size of uniform LoRA, up to 1,980 parameters, reaches that score."),
    ],
)
def test_a_ladder_tells_how_many_parameters_uniform_lora_needs_for_the_same_score(larger, said):
    own, other = [72.0, 72.0], LOW[1]
    plain, found = judge(results(own, other)), judge(results(own, other, ladder=ladder(LOW, *larger)))
    assert found.payoff == plain.payoff == Payoff.GAIN
    assert found.sentence == f"{plain.sentence} {said}"


def test_an_open_gain_is_measured_in_parameters_too():
    found = judge(results([72.0], [70.0], ladder=ladder((900, [70.0]), (1980, [72.0]))))
    assert found.payoff == Payoff.OPEN and found.sentence.endswith("2.0 times as many.")


@pytest.mark.parametrize("own", [[70.0, 70.0], [69.0, 69.0], [70.0, 72.0]])
def test_where_nothing_was_gained_no_larger_size_is_needed(own):
    steps = ladder(LOW, (1980, [75.0, 75.0]))
    assert verdict(results(own, LOW[1], ladder=steps)) == verdict(results(own, LOW[1]))


def test_a_ladder_without_baselines_measures_nothing():
    steps = (LadderStep(900, 900, 1), LadderStep(1980, 1980, 1))
    assert verdict(results([72.0], [70.0], ladder=steps)) == verdict(results([72.0], [70.0]))


def recipe(name: str, *, validation: list[float], test: list[float]) -> HandBaseline:
    return HandBaseline(name, 2, {"lora": 2}, 900, 0.001, scores(validation), scores(test), 8.0)


def test_the_hand_recipe_that_is_strongest_on_validation_is_named():
    others = (
        recipe("bitfit", validation=[60.0, 60.0], test=[90.0, 90.0]),
        recipe("lnfit_lora", validation=[61.0, 61.0], test=[71.0, 71.1]),
    )
    plain, found = judge(results([72.0, 72.0], LOW[1])), judge(results([72.0, 72.0], LOW[1], baselines=others))
    # Differences 1.0 and 0.9: 12.706 * 0.0707 / sqrt(2) = 0.635.
    assert found.sentence == (
        f"{plain.sentence} Against the hand recipe lnfit_lora, the strongest of 2 on validation, the search scored "
        "+0.95 ± 0.64 points."
    )
    assert found.payoff == Payoff.GAIN


@pytest.mark.parametrize("test", [[73.0, 73.0], [72.0, 72.0], [70.0, 73.0]])
def test_what_does_not_beat_the_strongest_hand_recipe_is_no_gain(test):
    others = (recipe("lnfit_lora", validation=[61.0, 61.0], test=test),)
    found = judge(results([72.0, 72.0], LOW[1], baselines=others))
    assert found.payoff == Payoff.NO_GAIN and found.sentence.endswith("points: no gain.")
    assert "Against the hand recipe lnfit_lora the search scored" in found.sentence


@pytest.mark.parametrize("test,payoff", [(71.0, Payoff.OPEN), (72.0, Payoff.NO_GAIN), (73.0, Payoff.NO_GAIN)])
def test_one_seed_shows_no_gain_over_a_hand_recipe_either(test, payoff):
    others = (recipe("lnfit_lora", validation=[61.0], test=[test]),)
    assert judge(results([72.0], [70.0], baselines=others)).payoff == payoff


def test_hand_recipes_stand_in_the_verdict_without_uniform_lora_too():
    others = (recipe("lnfit_lora", validation=[61.0], test=[71.0]),)
    found = judge(results([72.0], [70.0], baseline=None, baselines=others))
    assert found.payoff == Payoff.OPEN and found.sentence.endswith("lnfit_lora the search scored +1.00 points.")


def test_without_a_search_or_a_baseline_nothing_is_claimed():
    assert verdict(results([70.0], [70.0], space=None)).startswith("Nothing was searched: bipeft scores 70.00 test")
    found = judge(results([70.0], [70.0], baseline=None))
    assert found.payoff == Payoff.OPEN and "uniform LoRA was not trained" in found.sentence


def of_error(per_seed: list[float]) -> SeedScores:
    mean = sum(per_seed) / len(per_seed)
    return SeedScores("rmse", mean, None, tuple(per_seed), {"rmse": mean})


def by_error(own: list[float], other: list[float], **changes: Any) -> Results:
    baseline = uniform(900, validation=of_error(other), test=of_error(other))
    names = {"metric": "rmse", "selection_metric": "rmse"}
    return finished(**names | {"test": of_error(own), "baseline": baseline, "search_cost": 0.4} | changes)


def test_a_lower_error_is_a_gain():
    # Differences 0.0015, 0.0018, 0.0021: deviation 0.0003, so 4.303 * 0.0003 / sqrt(3) = 0.000745.
    found = judge(by_error([0.0285, 0.0282, 0.0279], [0.03, 0.03, 0.03]))
    assert found.payoff == Payoff.GAIN
    assert found.sentence == (
        "The search gained +0.00180 ± 0.00075 in test RMSE (plus means lower) over uniform LoRA at the same budget, "
        "at 0.40 of a training run."
    )


def test_a_higher_error_is_none():
    found = judge(by_error([1520.0, 1521.0], [1500.0, 1500.0]))
    assert found.payoff == Payoff.NO_GAIN
    # 12.706 * 0.7071 / sqrt(2) = 6.35.
    assert found.sentence.startswith("No gain: the search lost 20 ± 6 in test RMSE (plus means lower) to uniform LoRA")


def test_the_strongest_hand_recipe_has_the_lowest_error():
    recipes = {"lnfit_lora": 3.0, "bitfit": 2.0}
    others = tuple(
        HandBaseline(name, 7, {"lora": 7}, 900, 0.1, of_error([value]), of_error([value]), 1.0)
        for name, value in recipes.items()
    )
    found = judge(by_error([1.5], [4.0], baselines=others))
    assert (
        "Against the hand recipe bitfit, the strongest of 2 on validation, the search scored +0.500" in found.sentence
    )


def test_the_size_that_reaches_an_error_is_found():
    larger = uniform(2700, validation=of_error([1.4]), test=of_error([1.4]))
    steps = (LadderStep(1000, 900, 2), LadderStep(3000, 2700, 2, baseline=larger))
    sentence = verdict(by_error([1.5], [4.0], ladder=steps, parameters=900))
    assert "uniform LoRA needs 2,700 parameters for that score, 3.0 times as many" in sentence
