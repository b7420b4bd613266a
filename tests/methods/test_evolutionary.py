"""Evolution on scores that we choose."""

import itertools
import random
from statistics import fmean

import pytest
from fake_problem import make_problem, synthetic_score

from peftsearch.methods.evolutionary.method import Evolution, cross, mutate
from peftsearch.methods.evolutionary.settings import EvolutionarySettings
from peftsearch.methods.random.method import RandomSearch
from peftsearch.methods.random.settings import RandomSettings
from peftsearch.searches.trial_driver import run_trials

SETTINGS = EvolutionarySettings(population=10, generations=5, parents=3)


def score(proposal, number):
    return synthetic_score(proposal.configuration)


def run(problem, settings, tmp_path, name="t"):
    search = Evolution(problem, settings)
    trials = run_trials(search, score=score, space=problem.space, record=tmp_path / f"{name}.jsonl")
    return search, trials


def optimum(problem) -> float:
    """By brute force over every point."""
    values = [range(len(v.values)) for v in problem.encoding.variables]
    fitting = (p for p in itertools.product(*values) if problem.encoding.fits(p))
    return max(synthetic_score(problem.encoding.decode(p)) for p in fitting)


@pytest.mark.parametrize("encoding", ["flat", "autopeft", "noah"])
@pytest.mark.parametrize("budgets", [(60,), (150,), (60, 150)])
def test_no_proposal_and_no_result_exceeds_its_budget(encoding, budgets, tmp_path):
    problem = make_problem(encoding=encoding, budgets=budgets)
    search, trials = run(problem, SETTINGS, tmp_path)
    assert len(trials) == 60 * len(budgets)
    assert max(trial.parameters for trial in trials) <= max(budgets)
    results = search.results(trials)
    assert set(results) == set(budgets)
    assert all(0 < problem.space.cost(found) <= budget for budget, found in results.items())


def test_evolution_beats_random_search_and_comes_near_the_optimum(tmp_path):
    gains, reached = [], []
    for seed in range(10):
        problem = make_problem(layers=3, seed=seed)
        search, trials = run(problem, SETTINGS, tmp_path, f"evolution-{seed}")
        best = synthetic_score(search.results(trials)[150])
        drawn = RandomSearch(problem, RandomSettings(trials=60))
        drawn_trials = run_trials(drawn, score=score, space=problem.space, record=tmp_path / f"random-{seed}.jsonl")
        gains.append(best - synthetic_score(drawn.results(drawn_trials)[150]))
        reached.append(best)
    assert fmean(gains) > 0 and sum(gain >= 0 for gain in gains) >= 8
    assert fmean(reached) >= 0.95 * optimum(make_problem(layers=3))


def test_the_same_seed_gives_the_same_trials_and_an_interruption_changes_nothing(tmp_path):
    problem = make_problem(encoding="noah")
    _, first = run(problem, SETTINGS, tmp_path, "a")
    record = tmp_path / "b.jsonl"
    record.write_text("".join((tmp_path / "a.jsonl").read_text().splitlines(keepends=True)[:23]))
    _, second = run(problem, SETTINGS, tmp_path, "b")
    assert [t.configuration for t in first] == [t.configuration for t in second]
    _, third = run(make_problem(encoding="noah", seed=1), SETTINGS, tmp_path, "c")
    assert [t.configuration for t in first] != [t.configuration for t in third]


def test_a_mutant_of_probability_one_is_drawn_anew_and_of_zero_is_its_parent():
    encoding = make_problem().encoding
    point = encoding.sample(random.Random(0))
    assert mutate(point, encoding, 0.0, random.Random(1)) == point
    assert mutate(point, encoding, 1.0, random.Random(1)) == encoding.sample_any(random.Random(1))


def test_a_crossover_takes_each_group_from_one_parent():
    encoding = make_problem(encoding="noah").encoding
    first, second = (0,) * len(encoding.variables), (1,) * len(encoding.variables)
    children = {cross(first, second, encoding, random.Random(seed)) for seed in range(40)}
    assert len(children) == 4  # two kinds, two parents
    assert all(len({child[i] for i in group}) == 1 for child in children for group in encoding.groups)


def test_a_space_with_fewer_configurations_than_trials_is_no_trouble(tmp_path):
    problem = make_problem(layers=1, sizes=(1,), budget=20)
    search, trials = run(problem, SETTINGS, tmp_path)
    assert len(trials) == 60 and len({t.configuration for t in trials}) == 1
