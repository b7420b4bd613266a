from dataclasses import replace

import pytest
from design_sites import make_space, stack_sites

from peftsearch.errors import BudgetError, ConfigurationError, TrainingError
from peftsearch.methods.design_spaces.method import DesignSpacesSearch, ready_design
from peftsearch.methods.design_spaces.settings import DesignSpacesSettings
from peftsearch.searches.trial_driver import run_trials
from peftsearch.searches.trials import Problem, Trial
from peftsearch.space import SearchSpace
from peftsearch.space.encodings.design_spaces.encoding import DesignSpacesEncoding
from peftsearch.space.encodings.flat import FlatEncoding

SITES = stack_sites(num_layers=8, width=8, inner=32)
SPACE = make_space(SITES)
BUDGETS = (3000, 6000)
CODING = DesignSpacesEncoding(SPACE, max(BUDGETS), SITES)
# Each stage prefers one value: spindle, uniform, all groups, and a strategy for each group.
BEST = (3, 1, 8, 6, 4, 10, 14)


def make_search(seed: int = 0, **settings) -> DesignSpacesSearch:
    return DesignSpacesSearch(Problem(SPACE, CODING, BUDGETS, seed), DesignSpacesSettings(**settings))


def scored(proposal, score):
    return Trial(proposal, SPACE.cost(proposal.configuration), score)


def run(search: DesignSpacesSearch, score) -> list[Trial]:
    """Score every batch by (stage, choice, number) of its proposals."""
    trials: list[Trial] = []
    stage = 0
    while batch := search.propose(trials):
        population = search.settings.population
        names = [(stage, choice, i) for choice in search.choices(stage) for i in range(population)]
        trials += [scored(proposal, score(*name)) for name, proposal in zip(names, batch, strict=True)]
        stage += 1
    return trials


def distance(stage, choice, i):
    """A score that is additive over the stages: less the further a choice is from the best, with noise by number."""
    return -abs(choice - BEST[stage]) + 0.1 * i


def test_the_best_choice_of_every_stage_is_found():
    search = make_search()
    trials = run(search, distance)
    assert search.frozen(trials) == BEST
    assert search.results(trials) == {budget: CODING.within(budget).decode(BEST) for budget in BUDGETS}


@pytest.mark.parametrize("population,strategies,count", [(2, 0, 2 * 77), (1, 0, 77), (3, 4, 3 * (17 + 4 * 4))])
def test_the_number_of_trials_is_population_times_choices(population, strategies, count):
    assert len(run(make_search(population=population, strategies=strategies), distance)) == count


def test_a_choice_is_scored_by_the_mean_of_its_population():
    means = {0: (0.9, 0.0), 1: (0.5, 0.5), 2: (0.2, 0.2), 3: (0.0, 0.7), 4: (0.4, 0.4)}
    search = make_search()
    trials = run(search, lambda stage, choice, i: means[choice][i] if stage == 0 else 0.0)
    assert search.frozen(trials)[0] == 1


def test_of_equal_choices_the_first_wins():
    search = make_search()
    assert search.frozen(run(search, lambda *name: 0.5)) == (0,) * 7


def test_a_failed_trial_counts_as_the_worst_score_until_then():
    first = {0: (0.9, None), 1: (0.6, 0.6), 2: (0.1, 0.1), 3: (None, None), 4: (0.4, 0.4)}
    search = make_search()

    def score(stage, choice, i):
        return first[choice][i] if stage == 0 else -100.0  # much worse later on, which must not change stage 0

    assert search.frozen(run(search, score))[0] == 1  # 0: (0.9 + 0.1) / 2


def test_a_search_whose_trials_all_fail_is_an_error(tmp_path):
    def fail(proposal, number):
        raise ValueError("broken")

    with pytest.raises(TrainingError, match="All 77 trials"):
        run_trials(make_search(population=1), score=fail, space=SPACE, record=tmp_path / "trials.jsonl")


def test_proposals_have_the_choice_the_frozen_ones_and_the_fidelity():
    search = make_search(share=0.5, epochs=1.0)
    batch = search.propose([])
    assert {(p.fidelity.share, p.fidelity.epochs) for p in batch} == {(0.5, 1.0)}
    trials = run(search, distance)
    last = trials[-2 * 15 :]
    expected = [CODING.decode((*BEST[:-1], choice)) for choice in range(15) for _ in range(2)]
    assert [trial.configuration for trial in last] == expected
    assert all(trial.parameters <= max(BUDGETS) for trial in trials)


def test_the_same_seed_gives_the_same_trials_and_another_one_others():
    assert run(make_search(seed=1), distance) == run(make_search(seed=1), distance)
    assert make_search(seed=1).propose([]) != make_search(seed=2).propose([])


def test_strategies_are_drawn_from_all_and_each_once():
    search = make_search(strategies=5)
    drawn = [search.choices(stage) for stage in range(3, 7)]
    assert all(len(set(choices)) == 5 and set(choices) <= set(range(15)) for choices in drawn)
    assert len(set(map(tuple, drawn))) > 1
    assert search.choices(2) == list(range(9))


def test_an_interrupted_search_goes_on_from_its_record(tmp_path):
    def by_size(proposal, number):
        return len(proposal.configuration) / 100

    whole = run_trials(make_search(), score=by_size, space=SPACE, record=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "cut.jsonl").write_text("".join(lines[:40]))
    calls = []

    def counted(proposal, number):
        calls.append(number)
        return by_size(proposal, number)

    resumed = run_trials(make_search(), score=counted, space=SPACE, record=tmp_path / "cut.jsonl")
    assert min(calls) >= 40
    assert [replace(trial, seconds=0.0) for trial in resumed] == [replace(trial, seconds=0.0) for trial in whole]


def test_a_ready_design_uses_its_budget():
    found = ready_design("s4", CODING)
    assert 0.95 * max(BUDGETS) < SPACE.cost(found) <= max(BUDGETS)
    assert {c.kind for c in found} == {"serial_adapter", "prefix", "bitfit", "lora"}


def test_a_ready_design_needs_a_budget():
    with pytest.raises(BudgetError, match="'s4' follow from a budget. Give --budget"):
        ready_design("s4", None)


def test_a_ready_design_needs_its_space():
    with pytest.raises(ConfigurationError, match="'s4-3b' needs the space 'design_spaces'"):
        ready_design("s4-3b", FlatEncoding(SPACE, 1000, SITES))


def test_a_kind_that_fits_nowhere_is_named(caplog):
    without = SearchSpace({choice: cost for choice, cost in SPACE.costs.items() if choice.kind != "prefix"})
    found = ready_design("s4", DesignSpacesEncoding(without, 5000, SITES))
    assert "goes without prefix" in caplog.text and without.cost(found) <= 5000
