"""A prefix trained through a bottleneck is afterwards a prefix like any other."""

import pytest
import torch
from safetensors.torch import load_file

from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach, count_peft_parameters
from peftsearch.modules.kinds.prefix import Prefix
from peftsearch.modules.reparametrisation import fold, reparametrise
from peftsearch.space import Choice, Configuration
from peftsearch.testing.tiny_models import TINY

IDS = torch.arange(5, 19).view(2, 7)
RANK, WIDTH = 3, 32


@pytest.fixture
def adapted():
    model = TINY["bert"]()
    sites = find_sites(model)
    configuration = Configuration.of([Choice("encoder.1.value", "prefix", RANK), Choice("encoder.0.query", "lora", 2)])
    return attach(model, configuration, sites=sites).eval()


def logits(model) -> torch.Tensor:
    return model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits


def only_prefix(model) -> Prefix:
    return next(m for m in model.modules() if isinstance(m, Prefix))


def train(model) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        (logits(model) - 1).square().sum().backward()
        optimizer.step()


def test_a_new_bottleneck_changes_nothing(adapted):
    torch.nn.init.normal_(only_prefix(adapted).V)
    before = logits(adapted)
    reparametrise(adapted)
    assert torch.equal(logits(adapted), before)


def test_folding_keeps_the_trained_model_and_its_plain_parameters(adapted, tmp_path):
    names = {name: p.requires_grad for name, p in adapted.named_parameters()}
    start = {name: p.detach().clone() for name, p in only_prefix(adapted).named_parameters()}
    size = count_peft_parameters(adapted)
    reparametrise(adapted)
    assert count_peft_parameters(adapted) > size
    train(adapted)
    trained = logits(adapted).detach()
    fold(adapted)
    torch.testing.assert_close(logits(adapted), trained)
    assert {name: p.requires_grad for name, p in adapted.named_parameters()} == names
    assert all((p != start[name]).any() for name, p in only_prefix(adapted).named_parameters())
    adapted.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(t.numel() for name, t in saved.items() if "prefix" in name) == 2 * RANK * WIDTH


def test_folding_what_has_no_bottleneck_changes_nothing(adapted):
    before = {name: p.detach().clone() for name, p in adapted.named_parameters()}
    fold(adapted)
    assert all(torch.equal(p, before[name]) for name, p in adapted.named_parameters())


def test_a_step_of_adam_moves_a_prefix_no_further_than_twice_its_rate(adapted):
    # Once through the free vectors, and once through the network.
    reparametrise(adapted)
    prefix, rate = only_prefix(adapted), 0.01
    before = prefix.V.detach().clone()
    optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    (logits(adapted) - 1).square().sum().backward()
    optimizer.step()
    moved = (prefix.V - before).abs().max()
    assert rate < moved <= 2 * rate
