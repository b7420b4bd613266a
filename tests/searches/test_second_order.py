"""Second-order gradients against closed forms, torch's own AdamW, and the supernet that they leave as it was."""

import copy

import pytest
import torch
from test_gate_driver import Tokens
from two_classes import TwoClasses

from peftsearch.methods.s3delta.method import S3Delta
from peftsearch.methods.s3delta.settings import S3DeltaSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import num_parameters
from peftsearch.searches.gate_driver import start_gate_search
from peftsearch.searches.second_order import BilevelProblem, second_order_gradients, virtual_adamw_step
from peftsearch.searches.task_search import SearchData, SupernetTrainer, TaskHost
from peftsearch.space import SPACES, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.tasks.encoded import EncodedSplit
from peftsearch.testing.tiny_models import TINY
from peftsearch.training.arguments import Phase
from peftsearch.training.settings import TrainingSettings


class Quadratic:
    """L_trn = |w - C a|^2 / 2, L_val = |w - t|^2 / 2: the weights follow C a and should reach t."""

    def __init__(self, rates):
        self.c = torch.randn(3, 2, dtype=torch.float64)
        self.t = self.c @ torch.tensor([2.0, -1.0], dtype=torch.float64)
        self.a = torch.randn(2, dtype=torch.float64, requires_grad=True)
        self.weights = [torch.randn(1, dtype=torch.float64, requires_grad=True) for _ in range(3)]
        self.rates = rates

    @property
    def w(self):
        return torch.cat(self.weights)

    @torch.no_grad()
    def descend(self, gradients):
        for weight, gradient, rate in zip(self.weights, gradients, self.rates):
            weight -= rate * gradient

    def bilevel(self) -> BilevelProblem:
        return BilevelProblem(
            [self.a],
            weights=self.weights,
            rates=self.rates,
            train_loss=lambda: (self.w - self.c @ self.a).square().sum() / 2,
            validation_loss=lambda: (self.w - self.t).square().sum() / 2,
            take_weight_step=self.descend,
        )


@pytest.mark.parametrize("rates", [[0.3, 0.3, 0.3], [0.1, 0.2, 0.4], [0.0, 0.0, 0.0]])
def test_the_gradient_of_a_quadratic_is_that_of_its_closed_form(rates):
    problem = Quadratic(rates)
    rate = torch.tensor(rates, dtype=torch.float64)
    # w' = w - r (w - C a), so dL_val(w')/da = C^T (r (w' - t)).
    ahead = (problem.w - rate * (problem.w - problem.c @ problem.a)).detach()
    found = second_order_gradients(problem.bilevel())
    torch.testing.assert_close(found.own[0], problem.c.T @ (rate * (ahead - problem.t)))
    torch.testing.assert_close(found.loss, (ahead - problem.t).square().sum() / 2)
    torch.testing.assert_close(torch.cat(found.saliency), ahead * (ahead - problem.t))


def test_the_bilevel_optimum_is_found():
    problem = Quadratic([0.5] * 3)
    for _ in range(400):
        (own,) = second_order_gradients(problem.bilevel()).own
        with torch.no_grad():
            problem.a -= 0.3 * own / problem.c.square().sum() * 4
        problem.descend(torch.autograd.grad(problem.bilevel().train_loss(), problem.weights))
    torch.testing.assert_close(problem.c @ problem.a.detach(), problem.t, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("steps_before", [0, 3])
@pytest.mark.parametrize("fused", [None, True])
def test_a_virtual_step_is_the_optimizers_own_next_step(steps_before, fused):
    def make():
        torch.manual_seed(0)
        groups = [{"params": [torch.nn.Parameter(torch.randn(3))], "lr": 0.1}]
        groups.append({"params": [torch.nn.Parameter(torch.randn(2, 2)) for _ in range(2)]})
        return torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1, fused=fused)

    def parameters(optimizer):
        return [p for group in optimizer.param_groups for p in group["params"]]

    gradients = [[torch.randn_like(p) for p in parameters(make())] for _ in range(steps_before + 1)]
    real, virtual = make(), make()
    for step in range(steps_before + 1):
        for p, gradient in zip(parameters(real), gradients[step]):
            p.grad = gradient
        real.step()
        if step < steps_before:
            for p, gradient in zip(parameters(virtual), gradients[step]):
                p.grad = gradient
            virtual.step()
    before = copy.deepcopy(virtual.state_dict()["state"])
    virtual_adamw_step(virtual, gradients[-1])
    for found, expected in zip(parameters(virtual), parameters(real)):
        torch.testing.assert_close(found, expected)
    after = virtual.state_dict()["state"]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[i][name], after[i][name]) for i in before for name in before[i])


def build(tmp_path, steps: int = 3, order: str = "second", **training) -> SupernetTrainer:
    torch.manual_seed(0)
    model = TINY["bert"]()
    sites = find_sites(model)
    space = SearchSpace.build(SPACES["s3delta_m"], sites=sites, cost=num_parameters)
    adapted = attach(model, space.largest, sites=sites, head=("classifier",), task_type="SEQ_CLS")
    data = SearchData(TwoClasses(), Tokens(8 * steps), Tokens(8 * steps), EncodedSplit((), Tokens(8)), "accuracy")
    settings = TrainingSettings(per_device_train_batch_size=8, learning_rate=1e-2, **training)
    host = TaskHost(data, settings, Phase("search", tmp_path, 0, steps))
    strategy = S3Delta(space, budgets=[300], settings=S3DeltaSettings(order=order), planned_steps=steps)
    return host.watch(start_gate_search(host, Supernet(adapted, sites=sites, space=space), strategy))


def test_an_architecture_step_restores_weights_gradients_and_moments_exactly(tmp_path):
    trainer = build(tmp_path)
    trainer.create_optimizer_and_scheduler(3)
    inputs = TwoClasses().collate([Tokens(8)[i] for i in range(8)])
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    logits = trainer.search.strategy.logits.detach().clone()
    record, loss = trainer.search.architecture_step(trainer.model, 0, inputs)
    assert all(torch.equal(p, b) for p, b in zip(parameters, before))
    assert all(p.grad is None for p in parameters) and not trainer.search.weight_optimizer.state
    assert not torch.equal(trainer.search.strategy.logits, logits)
    assert [tuple(r.shape) for r in record] == [tuple(t.shape) for t in trainer.search._live.tensors]


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("training", [{"gradient_checkpointing": True}, {"gradient_accumulation_steps": 2}])
def test_searches_run_with_recomputed_and_with_accumulated_gradients(order, training, tmp_path):
    trainer = build(tmp_path, order=order, **training)
    trainer.search.strategy.end_epoch = lambda score: None
    trainer.train()
    assert trainer.state.global_step == 3
    assert trainer.search.strategy.logits.detach().abs().min() > 0


def test_checkpointing_does_not_change_what_is_learnt(tmp_path):
    learnt = []
    for is_used in (False, True):
        trainer = build(tmp_path, gradient_checkpointing=is_used)
        trainer.search.strategy.end_epoch = lambda score: None
        trainer.train()
        learnt.append(trainer.search.strategy.logits.detach())
    # Sums in another order, and AdamW's first steps divide gradients by their own size.
    torch.testing.assert_close(*learnt, atol=1e-3, rtol=1e-3)
