"""The loop of black-box methods: records, failures, repetitions, resuming."""

import json

import pytest
from fake_problem import make_problem, synthetic_score

from peftsearch import processes
from peftsearch.errors import DivergedError, RunFolderError, TrainingError
from peftsearch.methods.random.method import RandomSearch
from peftsearch.methods.random.settings import RandomSettings
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Fidelity, Proposal, Trial, best_within, pareto_front
from peftsearch.space import Choice, Configuration


def score(proposal, number):
    return synthetic_score(proposal.configuration)


def configuration(rank: int, layer: int = 0) -> Configuration:
    return Configuration.of([Choice(f"encoder.{layer}.query", "lora", rank)])


class Fixed:
    """Proposes given batches."""

    def __init__(self, *batches):
        self.batches = batches

    def propose(self, trials):
        done = 0
        for batch in self.batches:
            if done == len(trials):
                return [Proposal(c) for c in batch]
            done += len(batch)
        return []


def test_equal_proposals_are_scored_once(tmp_path):
    asked = []

    def count(proposal, number):
        asked.append(number)
        return 1.0

    twice = Fixed([configuration(1), configuration(3)], [configuration(1)])
    trials = run_trials(twice, score=count, space=make_problem().space, record=tmp_path / "t.jsonl")
    assert asked == [0, 1] and [t.score for t in trials] == [1.0, 1.0, 1.0] and trials[2].seconds == 0


def test_a_failing_trial_is_recorded_and_the_search_goes_on(tmp_path):
    def sometimes(proposal, number):
        if number == 0:
            raise TrainingError("The loss is nan at step 3.")
        return 5.0

    batches = Fixed([configuration(1), configuration(3)])
    trials = run_trials(batches, score=sometimes, space=make_problem().space, record=tmp_path / "t.jsonl")
    assert trials[0].score is None and "nan at step 3" in trials[0].error
    assert best_within(trials, 100).configuration == configuration(3)
    row = json.loads((tmp_path / "t.jsonl").read_text().splitlines()[0])
    assert row["score"] is None and "nan at step 3" in row["error"] and row["parameters"] == 10


def test_a_search_whose_trials_all_fail_says_why(tmp_path):
    def never(proposal, number):
        raise RuntimeError("out of memory")

    with pytest.raises(TrainingError, match="All 1 trials of the search failed. .*out of memory"):
        run_trials(Fixed([configuration(1)]), score=never, space=make_problem().space, record=tmp_path / "t.jsonl")


def test_of_several_processes_a_trial_fails_in_all_or_ends_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "num_processes", lambda: 2)
    monkeypatch.setattr(processes, "require_equal", lambda what, value: None)
    monkeypatch.setattr(processes, "largest", lambda number: number)
    failing = {1: DivergedError("nan at step 3"), 3: TrainingError("Out of memory with a single example a pass.")}

    def fails(proposal, number):
        raise failing[next(iter(proposal.configuration)).rank]

    problem = make_problem()
    with pytest.raises(TrainingError, match="All 1 trials"):
        run_trials(Fixed([configuration(1)]), score=fails, space=problem.space, record=tmp_path / "a.jsonl")
    with pytest.raises(TrainingError, match="^Out of memory"):
        run_trials(Fixed([configuration(3)]), score=fails, space=problem.space, record=tmp_path / "b.jsonl")


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path):
    problem, settings = make_problem(), RandomSettings(trials=6)
    whole = run_trials(RandomSearch(problem, settings), score=score, space=problem.space, record=tmp_path / "a.jsonl")

    def interrupted(proposal, number):
        if number == 4:
            raise KeyboardInterrupt
        return score(proposal, number)

    record = tmp_path / "b.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_trials(RandomSearch(problem, settings), score=interrupted, space=problem.space, record=record)
    with record.open("a") as file:
        file.write('{"trial": 4, "sco')  # a write that a kill cut off
    asked = []

    def rest(proposal, number):
        asked.append(number)
        return score(proposal, number)

    resumed = run_trials(RandomSearch(problem, settings), score=rest, space=problem.space, record=record)
    assert asked == [4, 5]
    assert [(t.configuration, t.score) for t in resumed] == [(t.configuration, t.score) for t in whole]
    assert len(record.read_text().splitlines()) == 6


def test_the_record_of_another_search_is_refused(tmp_path):
    space, record = make_problem().space, tmp_path / "t.jsonl"
    run_trials(Fixed([configuration(1)]), score=score, space=space, record=record)
    with pytest.raises(RunFolderError, match="would not have made"):
        run_trials(Fixed([configuration(3)]), score=score, space=space, record=record)


def trial(parameters: int, value: float | None, layer: int = 0) -> Trial:
    return Trial(Proposal(configuration(parameters, layer)), parameters, value)


def test_the_front_holds_what_no_trial_beats():
    trials = [trial(3, 70.0), trial(1, 60.0), trial(2, 55.0), trial(4, 70.0), trial(5, None), trial(6, 80.0)]
    assert [(t.parameters, t.score) for t in pareto_front(trials)] == [(1, 60.0), (3, 70.0), (6, 80.0)]


def test_of_equal_scores_the_smaller_wins_and_failures_never():
    trials = [trial(4, 70.0), trial(3, 70.0), trial(1, None)]
    assert best_within(trials, 10).parameters == 3
    assert best_within(trials, 2) is None


def test_a_score_that_is_not_a_number_is_a_failure(tmp_path):
    scores = iter([float("nan"), 1.0])
    trials = run_trials(
        Fixed([configuration(1), configuration(3)]),
        score=lambda proposal, number: next(scores),
        space=make_problem().space,
        record=tmp_path / "t.jsonl",
    )
    assert [trial.score for trial in trials] == [None, 1.0] and "nan" in trials[0].error


def test_another_fidelity_is_another_proposal():
    assert Proposal(configuration(1), Fidelity(0.5)) != Proposal(configuration(1))


def test_one_random_draw_is_not_scored(tmp_path):
    problem = make_problem(budgets=(40, 150))
    search = RandomSearch(problem, RandomSettings())
    assert search.propose([]) == []
    for budget, found in search.results([]).items():
        assert budget - 10 < problem.space.cost(found) <= budget
    assert search.results([]) == RandomSearch(problem, RandomSettings()).results([])
    other = RandomSearch(make_problem(budgets=(40, 150), seed=1), RandomSettings())
    assert other.results([]) != search.results([])


def test_of_several_draws_the_best_is_taken(tmp_path):
    problem = make_problem(budgets=(40, 150))
    search = RandomSearch(problem, RandomSettings(trials=8))
    trials = run_trials(search, score=score, space=problem.space, record=tmp_path / "t.jsonl")
    assert len(trials) == 16
    for budget, found in search.results(trials).items():
        assert synthetic_score(found) == max(t.score for t in trials if t.parameters <= budget)
