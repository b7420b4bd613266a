"""PrunePEFT's scores by hand, its order, and its search on a tiny model."""

import pytest
import torch
from torch import nn

from peftsearch.methods.prunepeft.method import PrunePeft, start_off_zero
from peftsearch.methods.prunepeft.rules import (
    SCORES,
    component_axes,
    find_switches,
    order_units,
    rise_without,
    score_of_components,
    score_of_module,
)
from peftsearch.methods.prunepeft.settings import PrunePeftSettings
from peftsearch.modules.kinds.bitfit import Bitfit
from peftsearch.modules.kinds.lora import Lora
from peftsearch.modules.kinds.low_rank_adapter import LowRankAdapter
from peftsearch.modules.peft_module import KINDS
from peftsearch.searches.gate_strategy import Observation
from peftsearch.space import Choice, Placement, Role, SearchSpace
from peftsearch.supernet.sensitivity import ModuleSaliency, take_saliency


class OneLayer:
    """A stand-in for a supernet: its modules by placement."""

    def __init__(self, modules):
        self.modules = modules
        self.live = list(modules)

    def module(self, placement):
        return self.modules[placement]


LORA, BIAS = Placement("encoder.0.query", "lora"), Placement("encoder.0.query", "bitfit")


def train(lora, bias):
    """y = B A x + b with loss c . y, so that dL/dB = c (A x)^T, dL/dA = (B^T c) x^T and dL/db = c."""
    with torch.no_grad():
        lora.A.copy_(torch.tensor([[1.0, 2.0], [0.5, 0.0]]))
        lora.B.copy_(torch.tensor([[1.0, 3.0], [-1.0, 1.0]]))
        bias.bias.copy_(torch.tensor([4.0, -1.0]))


def strategy_after_one_step(**changes) -> PrunePeft:
    lora, bias = Lora(nn.Linear(2, 2), 2), Bitfit(nn.Linear(2, 2))
    space = SearchSpace(
        {Choice(LORA.site, "lora", 1): 4, Choice(LORA.site, "lora", 2): 8, Choice(*vars(BIAS).values()): 2}
    )
    strategy = PrunePeft(space, budgets=[2, 6, 10], settings=PrunePeftSettings(**changes), planned_steps=1)
    strategy.prepare(OneLayer({BIAS: bias, LORA: lora}))
    train(lora, bias)
    x, c = torch.tensor([[[1.0, 1.0]]]), torch.tensor([-2.0, -1.0])
    y = bias(x, lora(x, torch.zeros(1, 1, 2)))
    parameters = [*bias.parameters(), *lora.parameters()]
    saliency = take_saliency(parameters, torch.autograd.grad((y * c).sum(), parameters))
    modules = ModuleSaliency(torch.tensor([0, 1, 1]), torch.tensor([2, 8]))
    strategy.observe(0, Observation([BIAS, LORA], modules, saliency, None))
    return strategy


def test_component_scores_of_a_linear_model_are_those_by_hand():
    # Component r takes (2, 1) . B_r times A_r . x off the loss: (2-1)*3 = 3 and (6+1)*0.5 = 3.5, over four parameters.
    # The bias takes 2*4 - 1 = 7 off, over two.
    found = strategy_after_one_step().unit_scores()
    assert found[LORA] == pytest.approx([3 / 4, 3.5 / 4])
    assert found[BIAS] == pytest.approx([3.5])


def test_a_unit_that_raises_the_loss_scores_below_one_that_does_nothing():
    saliency = [torch.tensor([0.5, 1.0]), torch.tensor([2.0])]
    found = rise_without(saliency, (True, False))
    assert score_of_module(found, (None, None)) == [-1.5 / 3]


def test_every_factor_but_the_last_is_no_switch():
    # Three stacked factors and a last one: the adapter counts once, as LoRA does.
    adapter = LowRankAdapter(nn.Linear(64, 64), 3)
    names = [name for name, _ in adapter.named_parameters()]
    switches = dict(zip(names, find_switches(adapter), strict=True))
    assert {name for name in adapter.rank_axes if switches[name]} == {"up_out"}
    assert find_switches(Bitfit(nn.Linear(4, 4))) == (True,)


def test_absolute_scores_of_a_linear_model_are_those_by_hand():
    # |theta g| of component 1: A 1 + 2, B |1*2*3| + |-1*1*3| = 9; of component 2: A 3.5, B 3 + 0.5; bias: 8 + 1.
    found = strategy_after_one_step(score="absolute_sum").unit_scores()
    assert found[LORA] == pytest.approx([12 / 4, 7 / 4])
    assert found[BIAS] == pytest.approx([9 / 2])


def test_a_module_scores_as_a_whole():
    assert strategy_after_one_step(structure="module").unit_scores()[LORA] == pytest.approx([6.5 / 8])


def test_signed_scores_cancel_over_steps_and_absolute_ones_add_up():
    first, second = [torch.tensor([1.0, -2.0])], [torch.tensor([-1.0, 2.0])]
    for name, expected in (("signed_sum", 0.0), ("absolute_sum", 3.0)):
        found = [SCORES[name](saliency, (True,))[0] for saliency in (first, second)]
        assert score_of_module([found[0] + found[1]], (None,)) == [expected]


def test_the_number_of_kept_components_is_the_rank():
    strategy = strategy_after_one_step()
    ranks = [{c.kind: c.rank for c in strategy.results()[budget]} for budget in (2, 6, 10)]
    assert ranks == [{"bitfit": 1}, {"bitfit": 1, "lora": 1}, {"bitfit": 1, "lora": 2}]


def test_biases_of_a_ranked_module_stay_out_of_its_components():
    module = LowRankAdapter(nn.Linear(64, 64), 3)
    sums = [torch.zeros_like(p) for p in module.parameters()]
    names = [name for name, _ in module.named_parameters()]
    sums[names.index("up_bias")] += 100
    for name, axis in module.rank_axes.items():
        sums[names.index(name)].select(axis, 1).fill_(2.0)
    assert score_of_components(sums, component_axes(module)) == pytest.approx([0, 2, 0])


@pytest.mark.parametrize("kind", [name for name in KINDS if KINDS[name].ranked])
def test_components_of_every_ranked_kind_are_scored(kind):
    # Entries of component 1 are 2, all others 0: its score is 2, whatever the number of axes of its tensors.
    module = KINDS[kind].build(nn.Linear(64, 64), 3, Role.VALUE)
    sums = [torch.zeros_like(p) for p in module.parameters()]
    for (name, _), total in zip(module.named_parameters(), sums, strict=True):
        if name in module.rank_axes:
            total.select(module.rank_axes[name], 1).fill_(2.0)
    assert score_of_components(sums, component_axes(module)) == pytest.approx([0, 2, 0])


def test_zero_factors_get_a_small_start_and_others_keep_theirs():
    lora = Lora(nn.Linear(64, 64), 8)
    before = lora.A.detach().clone()
    start_off_zero(lora, 0.01)
    assert torch.equal(lora.A, before)
    assert float(lora.B.detach().std()) == pytest.approx(0.01, rel=0.2)  # 512 draws: the deviation is known to 3%
    bias = Bitfit(nn.Linear(4, 4))
    start_off_zero(bias, 0.01)
    assert not bias.bias.any()


def test_keeping_the_highest_that_fit_is_dropping_the_lowest_then_filling():
    space = SearchSpace({Choice("encoder.0.query", "lora", r): 3 + 4 * r for r in (1, 2, 3)} | {
        Choice("encoder.1.query", "bitfit"): 5, Choice("encoder.2.query", "bitfit"): 2,
    })  # fmt: skip
    lora, second, third = space.ranks
    scores = {lora: [9.0, 1.0, 5.0], second: [4.0], third: [0.5]}
    ordered = [unit.placement for unit in order_units(scores)]
    assert ordered == [lora, lora, second, lora, third]
    for budget in range(7, 23):
        kept = list(ordered)
        while _size(space, kept) > budget:
            kept.pop()
        for placement in ordered[len(kept) :]:
            if _size(space, [*kept, placement]) <= budget:
                kept.append(placement)
        strategy = PrunePeft(space, budgets=[budget], settings=PrunePeftSettings(), planned_steps=1)
        strategy.unit_scores = lambda: scores
        found = {c.placement: c.rank for c in strategy.results()[budget]}
        assert found == {p: kept.count(p) for p in set(kept)}


def _size(space, kept) -> int:
    return space.cost(Choice(p.site, p.kind, kept.count(p)) for p in set(kept))


def test_components_need_every_rank_and_modules_only_the_largest():
    assert PrunePeftSettings().candidate_ranks((1, 4, 8)) == tuple(range(1, 9))
    assert PrunePeftSettings(structure="module").candidate_ranks((1, 4, 8)) == (8,)
