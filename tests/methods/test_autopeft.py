"""AutoPEFT on a synthetic score over a space small enough to list."""

import math
import random
from dataclasses import replace
from itertools import product

import pytest

pytest.importorskip("botorch")

from fake_problem import make_problem, synthetic_score

from peftsearch.methods.autopeft.local_search import UnseenPoints, climb
from peftsearch.methods.autopeft.method import Autopeft, normal_scores
from peftsearch.methods.autopeft.settings import AutopeftSettings
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Fidelity, Proposal, Trial, best_within
from peftsearch.settings import SettingError
from peftsearch.space import Configuration

QUICK = AutopeftSettings(evaluations=12, initial=8, restarts=3)


def run(problem, settings, score=synthetic_score):
    """All trials of a search; a score of None is a failure."""
    proposer, trials = Autopeft(problem, settings), []
    while batch := proposer.propose(trials):
        for proposal in batch:
            trials.append(Trial(proposal, problem.space.cost(proposal.configuration), score(proposal.configuration)))
    return trials


def configurations(trials):
    return [trial.configuration for trial in trials]


def every_point(encoding):
    """Canonical points of all configurations that fit."""
    points = product(*(range(len(variable.values)) for variable in encoding.variables))
    return {encoding.encode(encoding.decode(point)) for point in points if encoding.fits(point)}


@pytest.mark.parametrize("encoding", ["flat", "autopeft", "noah"])
def test_every_proposal_fits_and_is_new(encoding):
    problem = make_problem(encoding=encoding, layers=3, budget=120)
    trials = run(problem, replace(QUICK, batch=3))
    assert len(trials) == 12 and len(set(configurations(trials))) == 12
    assert all(0 < trial.parameters <= 120 for trial in trials)


def test_the_same_seed_gives_the_same_trials_and_another_seed_others():
    first, again = (run(make_problem(encoding="autopeft"), QUICK) for _ in range(2))
    assert configurations(first) == configurations(again)
    assert configurations(run(make_problem(encoding="autopeft", seed=1), QUICK)) != configurations(first)


@pytest.mark.parametrize("done", [3, 8, 10])
def test_a_search_resumes_from_its_record(done, tmp_path):
    problem = make_problem(encoding="autopeft")

    def score(proposal, number):
        if number == stop:
            raise KeyboardInterrupt
        return synthetic_score(proposal.configuration)

    def search(name):
        proposer = Autopeft(problem, replace(QUICK, batch=2))
        return proposer.results(run_trials(proposer, score=score, space=problem.space, record=tmp_path / name))

    stop = None
    whole = search("whole")
    stop = done
    with pytest.raises(KeyboardInterrupt):
        search("part")
    stop = None
    assert search("part") == whole
    assert [line.split('"seconds"')[0] for line in (tmp_path / "part").read_text().splitlines()] == [
        line.split('"seconds"')[0] for line in (tmp_path / "whole").read_text().splitlines()
    ]


def test_failed_trials_count_as_the_worst_and_are_not_proposed_again():
    problem = make_problem(encoding="autopeft")

    def failing(configuration):
        return None if any(choice.rank == 6 for choice in configuration) else synthetic_score(configuration)

    trials = run(problem, QUICK, failing)
    failed = [trial for trial in trials if trial.score is None]
    assert failed and len(set(configurations(trials))) == len(trials)
    scores = normal_scores(trials)
    worst = min(scores)
    assert all(score == worst for trial, score in zip(trials, scores, strict=True) if trial.score is None)
    assert Autopeft(problem, QUICK).results(trials)[150] == best_within(trials, 150).configuration


def test_a_search_without_any_success_goes_on_at_random():
    trials = run(make_problem(encoding="autopeft"), QUICK, lambda configuration: None)
    assert len(set(configurations(trials))) == 12


def test_a_space_that_is_used_up_ends_the_search():
    problem = make_problem(encoding="autopeft", layers=2, sizes=(1, 3))
    trials = run(problem, AutopeftSettings(evaluations=200, initial=15, restarts=2, batch=4))
    assert {problem.encoding.encode(c) for c in configurations(trials)} == every_point(problem.encoding)
    assert len(trials) == len(every_point(problem.encoding))


def test_a_space_smaller_than_the_first_draws_ends_the_search():
    problem = make_problem(encoding="autopeft", layers=2, sizes=(1, 3))
    assert len(run(problem, AutopeftSettings())) == len(every_point(problem.encoding))


def test_all_trials_share_one_fidelity():
    trials = run(make_problem(encoding="autopeft"), replace(QUICK, share=0.1, epochs=2))
    assert {trial.proposal.fidelity for trial in trials} == {Fidelity(0.1, 2)}


def test_each_budget_gets_its_best_trial_and_a_share_of_the_first_draws():
    problem = make_problem(encoding="autopeft", budgets=(20, 200))
    trials = run(problem, QUICK)
    assert sum(trial.parameters <= 20 for trial in trials[:8]) >= 4
    for budget, found in Autopeft(problem, QUICK).results(trials).items():
        assert synthetic_score(found) == max(t.score for t in trials if t.parameters <= budget)


def test_without_a_success_the_result_is_drawn_within_the_budget():
    problem = make_problem(encoding="autopeft")
    trials = [Trial(Proposal(Configuration()), 0, None)]
    found = Autopeft(problem, QUICK).results(trials)[150]
    assert 0 < problem.space.cost(found) <= 150


def test_more_first_draws_than_evaluations_are_refused():
    with pytest.raises(SettingError, match=r"method.initial is 100, but must be at most method.evaluations \(50\)"):
        AutopeftSettings(evaluations=50)


@pytest.mark.parametrize("encoding", ["flat", "autopeft"])
def test_local_search_finds_the_optimum_of_a_known_function(encoding):

    problem = make_problem(encoding=encoding, layers=2, budget=110)
    points = every_point(problem.encoding)

    def value(point):
        # Separable with one optimum, so that single steps lead there; it lies on the edge of the budget.
        cost = problem.space.cost(problem.encoding.decode(point))
        return synthetic_score(problem.encoding.decode(point)) - 0.02 * cost

    rng = random.Random(0)
    unseen = UnseenPoints(problem.encoding, [], rng)
    starts = [unseen.draw() for _ in range(10)]
    asked = []

    def values(batch):
        asked.extend(batch)
        return list(map(value, batch))

    found = climb(starts, restarts=10, neighbours=unseen.neighbours, value=values)
    assert value(found) == max(map(value, points))
    assert set(asked) <= points and len(asked) == len(set(asked))


def test_local_search_never_returns_what_has_been_seen():

    problem = make_problem(encoding="autopeft", layers=2)
    points = every_point(problem.encoding)
    best = max(points, key=lambda point: synthetic_score(problem.encoding.decode(point)))
    unseen = UnseenPoints(problem.encoding, [problem.encoding.decode(best)], random.Random(0))
    value = lambda batch: [synthetic_score(problem.encoding.decode(point)) for point in batch]  # noqa: E731
    found = climb([unseen.draw()], restarts=1, neighbours=unseen.neighbours, value=value)
    assert found != best and found in points


def tied_score(configuration) -> float:
    """Three layers matter, LoRA more than adapters; the gains of size fall."""
    gain = 0.0
    for choice in configuration:
        layer = int(choice.site.split(".")[1])
        gain += (0.15 + (layer in (1, 4, 5))) * (1.0 if choice.kind == "lora" else 0.3) * math.log2(1 + choice.rank)
    return gain / (gain + 3)


def hypervolume(points, reference):
    """Area between the staircase of the best scores and the reference, by strips."""
    points, best, total = sorted(points), reference[1], 0.0
    for (cost, score), end in zip(points, [cost for cost, _ in points[1:]] + [reference[0]]):
        best = max(best, score)
        total += (end - cost) * (best - reference[1])
    return total


def shares_of_the_best_hypervolume(seed: int, *, layers: int, evaluations: int, initial: int):
    """What autopeft and random search reach of the hypervolume of the whole space."""
    problem = make_problem(layers=layers, sizes=(1, 2, 4, 8), budget=160 * layers, seed=seed, encoding="autopeft")
    decode, cost = problem.encoding.decode, problem.space.cost
    every = [(math.log10(cost(decode(p))), tied_score(decode(p))) for p in every_point(problem.encoding)]
    reference = (math.log10(160 * layers + 1), min(score for _, score in every))
    shares = []
    for first in (initial, evaluations):
        settings = AutopeftSettings(evaluations=evaluations, initial=first, restarts=5)
        trials = run(problem, settings, tied_score)
        assert len(trials) == evaluations
        found = [(math.log10(trial.parameters), trial.score) for trial in trials]
        shares.append(hypervolume(found, reference) / hypervolume(every, reference))
    return shares


def test_it_beats_random_search():
    ours, chance = shares_of_the_best_hypervolume(0, layers=6, evaluations=24, initial=12)
    assert 1 >= ours > chance


@pytest.mark.slow
def test_it_beats_random_search_over_ten_seeds():
    pairs = [shares_of_the_best_hypervolume(seed, layers=8, evaluations=60, initial=20) for seed in range(10)]
    print(pairs)
    assert sum(ours > chance for ours, chance in pairs) >= 8
    assert sum(ours for ours, _ in pairs) > sum(chance for _, chance in pairs)
