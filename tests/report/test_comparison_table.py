"""Tables of comparisons written here by hand."""

import json
from typing import Any

import pytest
from scipy.stats import t

from peftsearch.report.comparison.charts import averages, search_cost
from peftsearch.report.comparison.page import as_html, judge_comparison, write_comparison
from peftsearch.report.comparison.paired import compare_pairs
from peftsearch.report.comparison.table import Comparison, ComparisonFacts, RunScore
from peftsearch.report.comparison.text import as_csv, as_markdown, as_text
from peftsearch.report.verdict import Payoff

EVIL = "<script>document.documentElement.dataset.evil = '|$x'</script>"


def facts(**changes) -> ComparisonFacts:
    values = {
        "model": EVIL,
        "backbone_parameters": 10_000,
        "budget": "5%",
        "budget_parameters": 500,
        "reference": "lora",
        "outside_budget": ("full",),
        "tasks": ("a", EVIL),
        "seeds": (0, 1),
        "learning_rates": (1e-3, 1e-2),
        "splits": {"a": "halved", EVIL: "as given"},
        "wall_seconds": 12.0,
    }
    return ComparisonFacts(**values | changes)


def cell(method: str, task: str, seed: int, test: float | None, **changes: Any) -> RunScore:
    measured = (
        {"parameters": 400, "metric": "accuracy", "test": test, "train_seconds": 2.0} if test is not None else {}
    )
    return RunScore(task, method, seed, **measured | changes)


def make_comparison() -> Comparison:
    scores = {"lora": (70, 72, 60, 64), "bipeft": (74, 73, 66, 64), "full": (90, 90, 90, 90)}
    places = [(task, seed) for task in ("a", EVIL) for seed in (0, 1)]
    cells = [cell(m, task, seed, v) for m, values in scores.items() for (task, seed), v in zip(places, values)]
    cells += [cell("head", "a", 0, 99.0), cell("head", "a", 1, None)]
    cells += [cell("lnfit", "a", 0, 99.0), cell("lnfit", EVIL, 0, None, error=EVIL)]
    return Comparison.of(facts(), cells)


@pytest.fixture
def comparison() -> Comparison:
    return make_comparison()


def test_the_best_average_comes_first_open_methods_later_and_failed_ones_last(comparison):
    assert [row.method for row in comparison.rows] == ["full", "bipeft", "lora", "head", "lnfit"]
    bipeft = comparison.rows[1]
    assert bipeft.scores["a"].mean == 73.5 and bipeft.scores["a"].std == pytest.approx(0.5**0.5)
    assert bipeft.average == (73.5 + 65) / 2
    assert comparison.rows[3].average is None and comparison.rows[3].open == 1


def test_pairs_are_counted_and_tested_as_by_hand(comparison):
    against = comparison.rows[1].against
    # Differences 4, 1, 6, 0: mean 2.75, sample variance (1.25² + 1.75² + 3.25² + 2.75²) / 3 = 22.75 / 3.
    statistic = 2.75 / (22.75 / 3 / 4) ** 0.5
    assert (against.wins, against.ties, against.losses, against.difference) == (3, 1, 0, 2.75)
    assert against.p == pytest.approx(2 * t.sf(statistic, df=3))
    # 3.182 is the 97.5% quantile of Student's t with 3 degrees of freedom.
    assert against.margin == pytest.approx(3.182 * (22.75 / 3 / 4) ** 0.5, rel=1e-3)


def test_what_a_run_hands_over_is_the_better_one_on_validation():
    cells = [cell("lora", "a", seed, 70.0, validation=80.0) for seed in (0, 1, 2)]
    found = zip((75.0, 60.0, 71.0), (81.0, 79.0, 80.0))
    cells += [cell("bipeft", "a", seed, test, validation=score) for seed, (test, score) in enumerate(found)]
    rows = {row.method: row for row in Comparison.of(facts(tasks=("a",)), cells).rows}
    # Seed 1 scores lower on validation, so uniform LoRA is handed over.
    assert rows["bipeft"].handed_over == pytest.approx((5 + 0 + 1) / 3)
    assert rows["lora"].handed_over is None
    assert as_csv(Comparison.of(facts(tasks=("a",)), cells)).splitlines()[2].split(",")[-3] == "2.0"


def test_the_lower_validation_loss_is_handed_over_where_both_are_known():
    cells = [cell("lora", "a", seed, 70.0, validation=80.0, validation_loss=0.4) for seed in (0, 1, 2)]
    found = zip((75.0, 60.0, 71.0), (0.3, 0.3, None))
    cells += [cell("bipeft", "a", i, test, validation=70.0, validation_loss=x) for i, (test, x) in enumerate(found)]
    rows = {row.method: row for row in Comparison.of(facts(tasks=("a",)), cells).rows}
    # Seed 2 has no loss, and a lower score.
    assert rows["bipeft"].handed_over == pytest.approx((5 - 10 + 0) / 3)


def test_a_test_that_cannot_be_made_has_no_p():
    assert compare_pairs({1: 2.0}, {1: 1.0}).p is None
    assert compare_pairs({1: 2.0}, {1: 1.0}).margin is None
    assert compare_pairs({1: 0.3, 2: 0.4}, {1: 0.2, 2: 0.3}).p is None
    assert compare_pairs({1: 1.0}, {2: 1.0}) is None


def test_every_form_shows_rows_failures_and_how_it_was_measured(comparison):
    for text in (as_text(comparison), as_markdown(comparison), as_html(comparison)):
        flat = " ".join(text.split())
        for part in ("full (outside the budget)", "1 failed", "73.50 ± 0.71", "3-1-0, +2.75 ± 4.38", "500 parameters"):
            assert part in flat
        assert "scored once" in flat and "0.001, 0.01" in flat and "(0, 1)" in flat and "halved" in flat
    assert as_csv(comparison).count("\n") == 6
    assert "n.a." not in as_csv(comparison)


def test_names_cannot_break_the_page(comparison):
    html = as_html(comparison)
    assert EVIL not in html and "<script" not in html and "<svg" in html
    assert "\\|$x" in as_markdown(comparison)


def test_a_comparison_without_a_result_has_a_table_and_no_picture():
    empty = Comparison.of(facts(), [cell("lora", "a", 0, None)])
    assert "to run" in as_text(empty) and "<svg" not in as_html(empty)


def test_deviations_of_an_average_are_over_seeds_that_have_every_task(comparison):
    # Seed 0: (74 + 66) / 2, seed 1: (73 + 64) / 2.
    assert averages(comparison, "bipeft") == [70.0, 68.5]
    assert averages(comparison, "lnfit") == []


def test_the_cost_of_a_search_is_in_trainings():
    cells = [cell("lora", "a", 0, 1.0), cell("bipeft", "a", 0, 1.0, search_seconds=5.0)]
    found = Comparison.of(facts(tasks=("a",)), cells)
    assert {row.method: search_cost(row) for row in found.rows} == {"lora": 0.0, "bipeft": 2.5}


def one_task(**scores: tuple[float, ...]) -> Comparison:
    cells = [cell(method, "a", seed, value) for method, values in scores.items() for seed, value in enumerate(values)]
    return Comparison.of(facts(tasks=("a",)), cells)


def test_the_verdict_names_the_best_within_the_budget_and_its_certainty():
    noise = judge_comparison(one_task(lora=(70, 72), bipeft=(71, 75), full=(90, 90)))
    # Differences 1 and 3: t = 2 / 1 with one degree of freedom, p = 0.295.
    assert noise.payoff == Payoff.OPEN and "bipeft has the highest" in noise.sentence and "p = 0.30" in noise.sentence
    gain = judge_comparison(one_task(lora=(70, 72, 71), bipeft=(75, 77.1, 76)))
    assert gain.payoff == Payoff.GAIN and "+5.03 points" in gain.sentence
    none = judge_comparison(one_task(lora=(70, 72), bipeft=(60, 62)))
    assert none.payoff == Payoff.NO_GAIN and "lora itself" in none.sentence
    assert judge_comparison(one_task(lora=())).payoff == Payoff.OPEN


def test_the_page_has_each_task_with_links_to_its_runs(comparison, tmp_path):
    cells = [cell("lora", "a", 0, 70.0, folder="a b/lora/seed-0"), cell("bipeft", "a", 0, 70.0, search_seconds=1.0)]
    found = Comparison.of(facts(tasks=("a",)), cells)
    text = write_comparison(found, tmp_path).read_text(encoding="utf-8")
    assert 'href="a%20b/lora/seed-0/report.html"' in text
    assert {path.name for path in (tmp_path / "figures").glob("*.svg")} == {"parameters.svg", "cost.svg", "task-0.svg"}
    assert "Failed runs" in as_html(comparison) and "Failed runs" not in text


def test_a_comparison_is_read_back_as_it_was_written(comparison):
    assert Comparison.from_dict(json.loads(json.dumps(comparison.to_dict()))) == comparison


def by_error(**scores: tuple[float, ...]) -> Comparison:
    cells = [
        cell(method, "a", seed, value, metric="rmse", validation=value)
        for method, values in scores.items()
        for seed, value in enumerate(values)
    ]
    return Comparison.of(facts(tasks=("a",), splits={"a": "halved"}), cells)


def test_of_an_error_the_lowest_average_comes_first():
    found = by_error(lora=(0.30, 0.31), bipeft=(0.25, 0.27), head=(0.40, 0.42))
    assert [row.method for row in found.rows] == ["bipeft", "lora", "head"]
    pair, worse = found.rows[0].against, found.rows[2].against
    assert pair is not None and (pair.wins, pair.losses) == (2, 0) and pair.difference == pytest.approx(0.045)
    assert worse is not None and (worse.wins, worse.losses) == (0, 2) and worse.difference == pytest.approx(-0.105)
    # The head is worse on validation too, so LoRA would be handed over.
    assert found.rows[0].handed_over == pytest.approx(0.045) and found.rows[2].handed_over == 0.0
    text = as_text(found)
    assert "0.2600" in text and "Test scores in RMSE (lower is better)" in text and "+0.0450" in text
    sentence = judge_comparison(found).sentence
    assert "bipeft has the lowest average within the budget, +0.0450 in test RMSE (plus means lower)" in sentence
    assert "RMSE (lower is better)" in as_html(found)


def test_the_reference_can_have_the_lowest_error():
    found = judge_comparison(by_error(lora=(0.2,), bipeft=(0.3,)))
    assert found.payoff == Payoff.NO_GAIN and "lora itself has the lowest average" in found.sentence
    assert "0.2000 RMSE." in found.sentence
