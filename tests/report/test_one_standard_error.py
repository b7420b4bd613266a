"""The smallest step within one standard error of the best, on scores made by hand."""

import pytest

from peftsearch.report.one_standard_error import choose_step, standard_error
from peftsearch.report.result_parts import LadderStep, SeedScores


def one_seed(value: float, metric: str = "accuracy") -> SeedScores:
    return SeedScores.of(metric, [{metric: value}])


def ladder(*validation: SeedScores | None) -> list[LadderStep]:
    """Steps with budgets of 100, 200, ... and ten parameters less each."""
    return [LadderStep(100 * i, 100 * i - 10, 1, validation=score) for i, score in enumerate(validation, start=1)]


def test_one_seed_has_the_standard_error_of_a_proportion():
    # 90 of 100 right: sqrt(0.9 * 0.1 / 100) = 0.03.
    assert standard_error(one_seed(90.0), num_examples=100) == pytest.approx(3.0)
    assert standard_error(one_seed(90.0, "exact_match"), num_examples=400) == pytest.approx(1.5)


def test_several_seeds_have_the_standard_error_of_their_mean():
    # Deviation 2 over four seeds: 2 / sqrt(4); the number of examples does not matter.
    score = SeedScores("macro_f1", 80.0, 2.0, (78.0, 79.0, 81.0, 82.0), {})
    assert standard_error(score, num_examples=5) == standard_error(score, num_examples=500) == pytest.approx(1.0)


def test_the_smallest_step_within_the_error_of_the_best_is_chosen():
    # The best has 90 of 100 right, so its error is 3: 87 is within it, 86 is not.
    found = choose_step(ladder(one_seed(86.0), one_seed(87.0), one_seed(90.0), one_seed(89.0)), num_examples=100)
    assert found is not None
    assert (found.budget, found.best_budget) == (200, 300) and found.standard_error == pytest.approx(3.0)


def test_the_error_is_that_of_the_best_step_alone():
    # The smallest varies by 10 points from seed to seed, the best not at all.
    wild, calm = SeedScores("f1", 79.0, 10.0, (69.0, 79.0, 89.0), {}), SeedScores("f1", 80.0, 0.0, (80.0,) * 3, {})
    found = choose_step(ladder(wild, calm), num_examples=100)
    assert found is not None and (found.budget, found.standard_error) == (200, 0.0)


def test_of_equal_scores_the_smallest_is_the_best():
    found = choose_step(ladder(one_seed(50.0), one_seed(100.0), one_seed(100.0)), num_examples=100)
    # All right has no error, so nothing below it is within reach.
    assert found is not None and (found.budget, found.best_budget, found.standard_error) == (200, 200, 0.0)


def test_the_order_of_the_steps_does_not_matter():
    steps = ladder(one_seed(87.0), one_seed(90.0), one_seed(88.0))
    assert choose_step(steps[::-1], num_examples=100) == choose_step(steps, num_examples=100)


def test_a_step_of_a_larger_budget_can_have_fewer_parameters():
    larger = LadderStep(900, 300, 1, validation=one_seed(90.0))
    found = choose_step([LadderStep(600, 500, 1, validation=one_seed(90.0)), larger], num_examples=100)
    assert found is not None and (found.budget, found.best_budget) == (900, 900)


@pytest.mark.parametrize("steps", [ladder(), ladder(one_seed(90.0)), ladder(one_seed(90.0), None, None)])
def test_one_trained_step_leaves_nothing_to_choose(steps):
    assert choose_step(steps, num_examples=100) is None


@pytest.mark.parametrize("metric", ["macro_f1", "pearson", "question_exact_match"])
def test_one_seed_of_a_metric_that_is_no_share_of_examples_has_no_error(metric):
    assert choose_step(ladder(one_seed(90.0, metric), one_seed(91.0, metric)), num_examples=100) is None


def test_of_an_error_the_smallest_step_near_the_lowest_is_chosen():
    # Deviation 2 over four seeds, so the error of the lowest is 1.
    means = (32.0, 31.0, 30.0, 30.5)
    steps = ladder(*(SeedScores("rmse", mean, 2.0, (mean,) * 4, {}) for mean in means))
    found = choose_step(steps, num_examples=100)
    assert found is not None and (found.budget, found.best_budget) == (200, 300)
