"""BIPEFT's state over a search whose sensitivities we choose: no model, no data."""

import random

import pytest
import torch

from peftsearch.methods.bipeft.method import Bipeft
from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.costs import cost_at
from peftsearch.searches.gate_strategy import Observation
from peftsearch.settings import build_settings
from peftsearch.space import SPACES, Choice, SearchSpace
from peftsearch.space.repair import repair
from peftsearch.supernet.sensitivity import ModuleSaliency
from peftsearch.testing.tiny_models import TINY

CPU = torch.device("cpu")


def paper(**given) -> BipeftSettings:
    """The paper's settings, whose scores come from the records that `observation` makes."""
    return build_settings(BipeftSettings, {"preset": "paper"} | given)


def small_space() -> SearchSpace:
    costs = {Choice(f"encoder.{i}.query", "lora", r): 10 * r for i in range(6) for r in (1, 4, 8)}
    return SearchSpace(costs | {Choice(f"encoder.{i}.query", "bitfit"): 5 for i in range(6)})


def observation(live, importance) -> Observation:
    """Records whose cosine is 1 and whose mean is the wanted importance."""
    record = [torch.tensor([importance[p]]) for p in live]
    count = len(live)
    return Observation(live, ModuleSaliency(torch.arange(count), torch.ones(count)), record, record)


def simulate(strategy: Bipeft, importance, steps: int) -> int:
    """Run a search without a model; gradients of the architecture are random."""
    live = list(strategy.space.ranks)
    for step in range(steps):
        gradients = [torch.randn_like(p) for p in strategy.architecture_parameters(step)]
        strategy.update_architecture(step, gradients)
        removed = strategy.observe(step, observation(live, importance))
        live = [p for p in live if p not in removed]
        if strategy.finished():
            return step + 1
    return steps


def simulate_effects(strategy: Bipeft, effects: dict, steps: int) -> None:
    """Run a search without a model, whose gates have the derivatives of these effects of modules on the loss."""
    live = list(strategy.space.ranks)
    wanted = torch.tensor([effects[placement] for placement in live])
    for step in range(steps):
        *logits, gates = strategy.architecture_parameters(step)
        assert gates.shape == wanted.shape
        strategy.update_architecture(step, [*map(torch.randn_like, logits), -wanted])
        removed = strategy.observe(step, observation(live, dict.fromkeys(live, 1.0)))
        live = [p for p in live if p not in removed]


def importances(space: SearchSpace, seed: int) -> dict:
    rng = random.Random(seed)
    return {placement: rng.random() for placement in space.ranks}


def leaves_less_than_the_cheapest_addition(space, configuration, budget) -> bool:
    rest = budget - space.cost(configuration)
    ranks = {c.placement: c.rank for c in configuration}
    additions = []
    for placement, candidates in space.ranks.items():
        now = ranks.get(placement, 0)
        paid = space.cost_of(Choice(placement.site, placement.kind, now)) if now else 0
        additions += [space.cost_of(Choice(placement.site, placement.kind, r)) - paid for r in candidates if r > now]
    return all(cost > rest for cost in additions)


def test_the_moving_average_follows_equation_4():
    space = small_space()
    strategy = Bipeft(space, budgets=[100], settings=paper(), planned_steps=100)
    importance = importances(space, 0)
    live = list(space.ranks)
    strategy.observe(0, observation(live, importance))
    strategy.observe(1, observation(live, importance))
    used = strategy.table.ranks.gather(1, strategy.architecture.preferred_column()[:, None])[:, 0].tolist()
    factors = [8 / rank if p.kind == "lora" else 1 for p, rank in zip(live, used)]
    expected = [(0.15 * 0.85 + 0.15) * 2 * importance[p] * factor for p, factor in zip(live, factors)]
    assert strategy.scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_removed_modules_do_not_stop_the_others_from_being_updated():
    space = small_space()
    strategy = Bipeft(space, budgets=[20], settings=paper(warmup=0), planned_steps=100)
    importance = importances(space, 0)
    first = list(space.ranks)[0]
    importance[first] = 0.0  # the first module goes first, as in the public code's bug
    simulate(strategy, importance, 20)
    before = strategy.scores.clone()
    live = [p for p, alive in zip(strategy.table.placements, strategy.is_live.tolist()) if alive]
    assert first not in live
    strategy.observe(21, observation(live, dict.fromkeys(live, 9.0)))
    index = [strategy.table.index[p] for p in live]
    assert (strategy.scores[index] > before[index]).all()


def test_the_expected_size_is_probability_times_expected_cost():
    space = small_space()
    strategy = Bipeft(space, budgets=[100], settings=paper(), planned_steps=10)
    with torch.no_grad():
        strategy.architecture.alpha.zero_()
        strategy.architecture.beta.zero_()
    expected = 6 * 0.5 * (10 + 40 + 80) / 3 + 6 * 0.5 * 5
    assert strategy.status(0)["expected_parameters"] == pytest.approx(expected, rel=1e-6)


def test_s2_on_t5_large_starts_at_the_expected_size_of_the_public_code():
    # 0.5 * 8,801,280 * 13/24 + 0.5 * 692,224 with sizes that scale by rank / 8; ours adds the exact adapter biases.
    lora = sum(0.5 * (1 + 4 + 8) / 3 * cost for cost in [2048] * 192 + [5120] * 96)
    adapters = 96 * 0.5 * (3168 + 9504 + 17952) / 3
    vectors = 0.5 * 692_224
    costs = {Choice(f"encoder.{i}.query", "lora", r): 2048 * r for i in range(192) for r in (1, 4, 8)}
    costs |= {Choice(f"encoder.{i}.ffn_in", "lora", r): 5120 * r for i in range(96) for r in (1, 4, 8)}
    sizes = {1: 3168, 4: 9504, 8: 17952}
    costs |= {Choice(f"encoder.{i}.ffn_out", "low_rank_adapter", r): sizes[r] for i in range(96) for r in (1, 4, 8)}
    costs |= {Choice(f"encoder.{i}.ffn_norm", "lnfit"): 1024 for i in range(676)}
    strategy = Bipeft(SearchSpace(costs), budgets=[102_600], settings=paper(), planned_steps=10)
    assert strategy.status(0)["expected_parameters"] == pytest.approx(lora + adapters + vectors, rel=1e-3)


def test_the_temperature_falls_from_5_to_1_over_the_planned_steps():
    strategy = Bipeft(small_space(), budgets=[100], settings=paper(), planned_steps=5)
    assert [strategy.temperature(step) for step in range(6)] == [5, 4, 3, 2, 1, 1]


def test_a_stage_updates_its_own_logits_only():
    strategy = Bipeft(small_space(), budgets=[100], settings=paper(), planned_steps=10)
    for step, (own, other) in enumerate([("alpha", "beta"), ("beta", "alpha"), ("alpha", "beta")]):
        before = {name: getattr(strategy.architecture, name).detach().clone() for name in (own, other)}
        strategy.update_architecture(step, [torch.ones_like(p) for p in strategy.architecture_parameters(step)])
        assert not torch.equal(getattr(strategy.architecture, own), before[own])
        assert torch.equal(getattr(strategy.architecture, other), before[other])


def test_no_trigger_before_the_warmup_ends():
    space = small_space()
    strategy = Bipeft(space, budgets=[20], settings=paper(warmup=0.5), planned_steps=40)
    simulate(strategy, importances(space, 0), 20)
    assert strategy.num_triggers == 0
    simulate(strategy, importances(space, 0), 40)
    assert strategy.num_triggers > 0


def test_a_scheduled_search_triggers_at_every_step_after_the_warmup():
    settings = BipeftSettings(trigger="schedule", warmup=5)
    strategy = Bipeft(small_space(), budgets=[20], settings=settings, planned_steps=20)
    simulate(strategy, dict.fromkeys(strategy.space.ranks, 1.0), 20)
    assert strategy.num_triggers == 15


def test_choices_that_know_nothing_of_each_other_trigger_by_their_cosine_alone():
    """Effects are drawn anew in each step and not smoothed; the budget holds nearly everything."""
    triggers = {}
    for trigger in ("cosine", "agreement"):
        settings = BipeftSettings(trigger=trigger, warmup=0, decay=0)
        strategy = Bipeft(small_space(), budgets=[80], settings=settings, planned_steps=60)
        live = list(strategy.space.ranks)
        for step in range(60):
            *logits, gates = strategy.architecture_parameters(step)
            strategy.update_architecture(step, [*map(torch.zeros_like, logits), torch.randn_like(gates)])
            removed = strategy.observe(step, observation(live, dict.fromkeys(live, 1.0)))
            live = [p for p in live if p not in removed]
        triggers[trigger] = strategy.num_triggers
    assert triggers["agreement"] < 5 < triggers["cosine"]


def test_the_search_stops_after_the_last_trigger():
    space = small_space()
    strategy = Bipeft(space, budgets=[40], settings=paper(max_triggers=7, warmup=0), planned_steps=500)
    assert simulate(strategy, importances(space, 1), 500) < 500
    assert strategy.num_triggers == 7


def test_a_fixed_rank_stays_whatever_happens_to_its_logits():
    space = small_space()
    strategy = Bipeft(space, budgets=[60], settings=paper(max_triggers=10, warmup=0), planned_steps=500)
    simulate(strategy, importances(space, 1), 500)
    fixed = strategy.architecture.fixed.clone()
    with torch.no_grad():
        strategy.architecture.beta.normal_(std=10)
    chosen = strategy.architecture.preferred_column()
    assert (fixed >= 0).sum() > 6
    assert torch.equal(chosen[fixed >= 0], fixed[fixed >= 0])


def test_sensitive_modules_survive():
    space = small_space()
    importance = {p: float(p.site < "encoder.2") for p in space.ranks}
    strategy = Bipeft(space, budgets=[110], settings=paper(max_triggers=20, warmup=0), planned_steps=200)
    simulate(strategy, importance, 200)
    kept = {c.site for c in strategy.results()[110]}
    assert {"encoder.0.query", "encoder.1.query"} <= kept


def test_modules_with_the_largest_effect_for_each_parameter_survive():
    space = small_space()
    effects = {p: 10.0 * (p.site < "encoder.3") if p.kind == "lora" else 1.0 for p in space.ranks}
    strategy = Bipeft(space, budgets=[33], settings=BipeftSettings(max_triggers=20, warmup=0), planned_steps=60)
    simulate_effects(strategy, effects, 60)
    kept = {(c.site, c.kind, c.rank) for c in strategy.results()[33]}
    assert kept == {(f"encoder.{i}.query", "lora", 1) for i in range(3)}


def test_an_effect_that_changes_its_sign_counts_for_nothing():
    space = small_space()
    strategy = Bipeft(space, budgets=[33], settings=BipeftSettings(warmup=100), planned_steps=200)
    live = list(space.ranks)
    steady = torch.tensor([0.2 if p.site == "encoder.0.query" else 0.0 for p in live])
    for step in range(100):
        noise = torch.tensor([(-1.0) ** step if p.site == "encoder.1.query" else 0.0 for p in live])
        *logits, _ = strategy.architecture_parameters(step)
        strategy.update_architecture(step, [*map(torch.zeros_like, logits), -(steady + noise)])
        strategy.observe(step, observation(live, dict.fromkeys(live, 1.0)))
    by_site = {p.site: abs(s) for p, s in zip(live, strategy.scores.tolist()) if p.kind == "bitfit"}
    assert by_site["encoder.0.query"] > 5 * by_site["encoder.1.query"]


def test_preferred_sizes_are_those_of_the_ranks_in_use_with_every_module_on():
    space = small_space()
    strategy = Bipeft(space, budgets=[100], settings=BipeftSettings(), planned_steps=10)
    assert strategy.status(0)["expected_parameters"] == 6 * 10 + 6 * 5


def test_the_preset_is_the_paper_and_a_given_setting_stands_above_it():
    settings = paper(decay=0.5)
    assert (settings.sensitivity, settings.sizes, settings.ranks, settings.decay) == (
        "cosine",
        "expected",
        "trained",
        0.5,
    )


@pytest.mark.parametrize("selection", ["early", "final"])
@pytest.mark.parametrize("order", ["iterative", "binary_then_rank", "rank_then_binary", "entangled"])
@pytest.mark.parametrize("sampling", ["gumbel", "softmax"])
def test_every_ablation_ends_within_the_budget(selection, order, sampling):
    space = small_space()
    settings = BipeftSettings(max_triggers=5, warmup=0, order=order, sampling=sampling, selection=selection)
    strategy = Bipeft(space, budgets=[77], settings=settings, planned_steps=30)
    live = list(space.ranks)
    for step in range(2):
        for gates in (strategy.architecture_gates(step, live, CPU), strategy.weight_gates(step, live, CPU)):
            assert set(gates) == set(live)
    simulate(strategy, importances(space, 2), 30)
    configuration = strategy.results()[77]
    assert space.cost(configuration) <= 77
    assert leaves_less_than_the_cheapest_addition(space, configuration, 77)


def test_one_search_gives_a_nested_ladder_of_budgets():
    space = small_space()
    settings = paper(max_triggers=20, warmup=0)
    strategy = Bipeft(space, budgets=[60, 33, 150], settings=settings, planned_steps=200)
    simulate(strategy, importances(space, 3), 200)
    results = strategy.results()
    ranks = [{c.placement: c.rank for c in results[budget]} for budget in (33, 60, 150)]
    for smaller, larger in zip(ranks, ranks[1:]):
        assert all(larger.get(placement, 0) >= rank for placement, rank in smaller.items())
    assert all(space.cost(results[budget]) <= budget for budget in results)


FAMILIES = list(TINY)


@pytest.mark.parametrize("case", range(200))
def test_repair_never_exceeds_the_budget_and_leaves_nothing_addable(case, spaces):
    rng = random.Random(case)
    space = spaces[rng.choice(FAMILIES), rng.choice(list(SPACES))]
    cheapest, everything = space.costs[space.cheapest], space.cost(space.largest)
    budget = int(cheapest + (everything - cheapest) * rng.random() ** 3)
    placements = list(space.ranks)
    live = rng.sample(placements, rng.randint(0, len(placements)))
    ranks = {placement: rng.choice(space.ranks[placement]) for placement in placements}
    scores = {placement: rng.lognormvariate(0, 2) for placement in placements}
    found = repair(space, live=live, ranks=ranks, scores=scores, budget=budget)
    assert space.cost(found) <= budget
    assert leaves_less_than_the_cheapest_addition(space, found, budget)


@pytest.fixture(scope="module")
def spaces():
    sites = {family: find_sites(TINY[family]()) for family in FAMILIES}
    return {
        (family, name): SearchSpace.build(SPACES[name], sites=sites[family], cost=cost_at)
        for family in FAMILIES
        for name in SPACES
    }


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("planned", [12, 40])
def test_a_search_of_fewer_steps_than_triggers_comes_near_the_budget(planned, seed):
    space = small_space()
    settings = BipeftSettings(warmup=0.1, window=1, threshold=-1.0)
    strategy = Bipeft(space, budgets=[60], settings=settings, planned_steps=planned)
    start = strategy.status(0)["expected_parameters"]
    simulate(strategy, importances(space, seed), planned)
    assert strategy.num_triggers < settings.max_triggers
    # Fixing a rank can raise the size again, and a module is removed whole; the rest is the repair's.
    assert strategy.status(planned)["expected_parameters"] < 60 + 0.15 * (start - 60)
