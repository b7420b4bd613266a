"""S3Delta against algebra, and its search on a tiny model."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from peftsearch.methods.s3delta.method import S3Delta
from peftsearch.methods.s3delta.rules import binary_concrete, keep_one_on, let_compete, probabilities, solve_shift
from peftsearch.methods.s3delta.settings import S3DeltaSettings
from peftsearch.settings import SettingError
from peftsearch.space import Choice, SearchSpace

CPU = torch.device("cpu")


def space_of(*costs: int) -> SearchSpace:
    return SearchSpace({Choice(f"encoder.{i}.query", "lora", 1): cost for i, cost in enumerate(costs)})


def strategy_of(space: SearchSpace, *budgets: int, **changes) -> S3Delta:
    return S3Delta(space, budgets=budgets, settings=S3DeltaSettings(**changes), planned_steps=10)


def test_equal_logits_share_the_budget_evenly():
    # sigmoid(-zeta) = B / total, so zeta = -logit(1/4) = log 3.
    assert solve_shift(torch.zeros(3), torch.tensor([10, 20, 10]), 10) == pytest.approx(math.log(3), abs=1e-8)


def test_two_modules_of_one_size_and_half_the_budget_are_shifted_by_their_mean():
    # sigmoid(a - z) + sigmoid(b - z) = 1 holds where z is the mean of a and b.
    assert solve_shift(torch.tensor([1.0, 4.0]), torch.tensor([5, 5]), 5) == pytest.approx(2.5, abs=1e-8)


def test_a_budget_of_everything_turns_everything_on():
    probability = probabilities(torch.randn(4), torch.tensor([1, 2, 3, 4]), 10)
    assert (probability > 1 - 1e-6).all() and (probability < 1).all()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-30, 30), st.integers(1, 10**6)), min_size=1, max_size=30),
    st.floats(1e-4, 0.999),
    st.floats(0.1, 10),
)
def test_the_shift_meets_the_budget_to_a_millionth(modules, share, sharpness):
    logits = torch.tensor([logit for logit, _ in modules], dtype=torch.float64)
    sizes = torch.tensor([size for _, size in modules], dtype=torch.float64)
    budget = share * float(sizes.sum())
    shift = solve_shift(logits, sizes, budget, sharpness=sharpness)
    expected = float(sizes @ torch.sigmoid(sharpness * (logits - shift)))
    assert expected == pytest.approx(budget, rel=1e-6)


def test_competing_keeps_the_values_and_subtracts_the_mean_gradient():
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)
    competing = let_compete(p)
    torch.testing.assert_close(competing, p)
    (gradient,) = torch.autograd.grad(competing @ g, p)
    torch.testing.assert_close(gradient, g - float(g @ p.detach()) / 1.0)


def test_a_gate_with_the_median_noise_is_its_probability():
    p = torch.tensor([0.1, 0.7])
    torch.testing.assert_close(binary_concrete(p, torch.full((2,), 0.5), 1.0), p)


def test_noise_above_the_complement_turns_a_cold_gate_on():
    p, noise = torch.tensor([0.3, 0.3]), torch.tensor([0.71, 0.69])
    torch.testing.assert_close(binary_concrete(p, noise, 1e-4), torch.tensor([1.0, 0.0]))


def test_the_likeliest_module_stands_in_where_all_gates_are_zero():
    p = torch.tensor([0.2, 0.6, 0.1])
    torch.testing.assert_close(keep_one_on(torch.zeros(3), p), torch.tensor([0.0, 0.6, 0.0]))
    gates = torch.tensor([0.0, 0.0, 0.5])
    assert keep_one_on(gates, p) is gates


def test_weight_gates_are_soft_and_drawn_anew():
    strategy = strategy_of(space_of(10, 10, 10), 10)
    first, second = (strategy.weight_gates(0, [], CPU) for _ in range(2))
    values = torch.stack([mask.gate for mask in (*first.values(), *second.values())])
    assert ((values > 0) & (values < 1)).all() and len(set(values.tolist())) == 6


def test_the_learning_rate_falls_linearly_to_zero_and_gradients_are_clipped():
    strategy = strategy_of(space_of(10, 10), 10)
    rates = []
    for step in range(10):
        rates.append(strategy._optimizer.param_groups[0]["lr"])
        strategy.update_architecture(step, [torch.tensor([300.0, -400.0], dtype=torch.float64)])
    assert rates == pytest.approx([0.1 * (1 - step / 10) for step in range(10)])
    # The first moment of a constant gradient g after ten steps is (1 - 0.9^10) g.
    moment = strategy._optimizer.state[strategy.logits]["exp_avg"]
    assert float(moment.norm()) == pytest.approx(2 * (1 - 0.9**10), rel=1e-5)


def test_the_best_epoch_is_kept_and_of_equals_the_later():
    strategy = strategy_of(space_of(10, 10, 10), 10)
    for epoch, score in enumerate([1.0, 3.0, 3.0, 2.0]):
        with torch.no_grad():
            strategy.logits.copy_(one_hot(torch.tensor(epoch % 3), 3))
        strategy.end_epoch(lambda gates, score=score: score)
    assert [c.site for c in strategy.results()[10]] == ["encoder.2.query"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 100)), min_size=1, max_size=20),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=3),
)
def test_what_is_read_off_never_exceeds_and_leaves_no_room(modules, shares):
    space = space_of(*[size for _, size in modules])
    total, cheapest = sum(size for _, size in modules), min(size for _, size in modules)
    budgets = [max(cheapest, int(share * total)) for share in shares]
    strategy = strategy_of(space, *budgets)
    with torch.no_grad():
        strategy.logits.copy_(torch.tensor([logit for logit, _ in modules]))
    results = strategy.results()
    for budget, configuration in results.items():
        left = budget - space.cost(configuration)
        chosen = {c.placement for c in configuration}
        assert left >= 0
        assert all(cost > left for choice, cost in space.costs.items() if choice.placement not in chosen)
    ladder = [results[budget].choices for budget in sorted(results)]
    assert all(smaller <= larger for smaller, larger in zip(ladder, ladder[1:]))


def test_read_out_skips_what_does_not_fit():
    strategy = strategy_of(space_of(50, 60, 40, 5), 100)
    with torch.no_grad():
        strategy.logits.copy_(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    assert [c.site[8] for c in strategy.results()[100]] == ["0", "2", "3"]


def test_a_rank_of_the_space_is_taken_and_any_other_refused():
    assert S3DeltaSettings().candidate_ranks((1, 4, 8)) == (1,)
    assert S3DeltaSettings(rank=4).candidate_ranks((1, 4, 8)) == (4,)
    with pytest.raises(SettingError, match="method.rank is 3.*1, 4, 8"):
        S3DeltaSettings(rank=3).candidate_ranks((1, 4, 8))


def test_a_search_whose_gates_stayed_undecided_says_so():
    strategy = strategy_of(space_of(10, 10, 10, 10), 10)
    assert "undecided" in strategy.notes()[0] and "0.25" in strategy.notes()[0]
    with torch.no_grad():
        strategy.logits[0] = 20
    assert not strategy.notes()
