"""Effects of modules, read off their gates, against the loss of a model without each of them."""

import pytest
import torch

from peftsearch.methods.bipeft.method import Bipeft
from peftsearch.methods.bipeft.settings import BipeftSettings
from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.modules.costs import cost_at
from peftsearch.space import SPACES, SearchSpace
from peftsearch.supernet.supernet import Supernet
from peftsearch.testing.tiny_models import TINY

CPU = torch.device("cpu")
BATCH = {"input_ids": torch.arange(6, 30).view(4, 6), "labels": torch.tensor([0, 1, 1, 0])}


@pytest.fixture
def trained() -> tuple[Supernet, Bipeft]:
    """A supernet in double precision whose modules all change the output a little."""
    torch.manual_seed(0)
    model = TINY["bert"]()
    sites = find_sites(model)
    space = SearchSpace.build(SPACES["s2"], sites=sites, cost=cost_at)
    adapted = attach(model, space.largest, sites=sites, head=("classifier",), task_type="SEQ_CLS").double().eval()
    supernet = Supernet(adapted, sites=sites, space=space)
    with torch.no_grad():
        for placement in supernet.live:
            for parameter in supernet.parameters_of(placement):
                parameter.add_(torch.randn_like(parameter), alpha=1e-4)
    settings = BipeftSettings(order="rank_then_binary")  # every gate is on in its first half
    return supernet, Bipeft(space, budgets=[800], settings=settings, planned_steps=10)


def effects(supernet: Supernet, strategy: Bipeft) -> dict:
    with supernet.gated(strategy.architecture_gates(0, supernet.live, CPU)):
        loss = supernet.model(**BATCH).loss
    *of_logits, probe = strategy.architecture_parameters(0)
    of_gates = torch.autograd.grad(loss, probe)[0]
    strategy.update_architecture(0, [*map(torch.zeros_like, of_logits), of_gates])
    return dict(zip(strategy.table.placements, strategy._effects.tolist()))


def test_an_effect_is_the_rise_of_the_loss_without_the_module(trained):
    supernet, strategy = trained
    found = effects(supernet, strategy)
    on = strategy.architecture_gates(0, supernet.live, CPU)
    with torch.no_grad():
        with supernet.gated(on):
            whole = float(supernet.model(**BATCH).loss)
        for placement in supernet.live:
            with supernet.gated(on | {placement: None}):
                rise = float(supernet.model(**BATCH).loss) - whole
            assert found[placement] == pytest.approx(rise, rel=0.05, abs=1e-9), placement


def test_an_effect_does_not_depend_on_how_lora_is_scaled(trained):
    supernet, strategy = trained
    before = effects(supernet, strategy)
    with torch.no_grad():
        for placement in supernet.live:
            if placement.kind == "lora":
                supernet.module(placement).A.mul_(10)
                supernet.module(placement).B.div_(10)
    after = effects(supernet, strategy)
    assert list(after.values()) == pytest.approx(list(before.values()), rel=1e-6)
