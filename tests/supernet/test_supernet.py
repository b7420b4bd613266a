"""Gates, removal and masks on a real (tiny) model."""

import pytest
import torch

from peftsearch.models.discover import find_sites
from peftsearch.modules.adapted_layer import AdaptedLayer
from peftsearch.modules.attach import attach, count_peft_parameters
from peftsearch.modules.costs import cost_at
from peftsearch.modules.peft_module import Mask
from peftsearch.space import SPACES, Choice, Configuration, SearchSpace
from peftsearch.supernet.architecture import RELAXATIONS, Disentangled, Entangled, OptionTable
from peftsearch.supernet.gates import differentiable_gates, fixed_gates
from peftsearch.supernet.supernet import Supernet, rank_masks
from peftsearch.testing.tiny_models import TINY

CPU = torch.device("cpu")
IDS = torch.arange(5, 19).view(2, 7)


def build(family: str = "bert", preset: str = "s2"):
    torch.manual_seed(0)
    model = TINY[family]().eval()
    sites = find_sites(model)
    space = SearchSpace.build(SPACES[preset], sites=sites, cost=cost_at)
    adapted = attach(model, space.largest, sites=sites).eval()
    for name, parameter in adapted.named_parameters():
        if "peftsearch_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return Supernet(adapted, sites=sites, space=space), space, sites


def logits(supernet: Supernet) -> torch.Tensor:
    inputs = {"decoder_input_ids": IDS[:, :3]} if supernet.model.config.is_encoder_decoder else {}
    return supernet.model(input_ids=IDS, attention_mask=torch.ones_like(IDS), **inputs).logits


def test_rank_masks_keep_the_leading_components():
    assert rank_masks([1, 3], 4).tolist() == [[1, 0, 0, 0], [1, 1, 1, 0]]


EVERY = pytest.mark.parametrize(
    "family,preset", [("bert", "s2"), *[(family, "all") for family in ("bert", "t5-gated", "llama", "gpt2")]]
)


@EVERY
def test_all_gates_off_is_the_base_model(family, preset):
    supernet, space, _ = build(family, preset)
    with supernet.gated(dict.fromkeys(space.ranks)):
        gated = logits(supernet)
    with supernet.model.disable_adapter():
        torch.testing.assert_close(gated, logits(supernet))


@EVERY
def test_a_gate_of_zero_and_a_skipped_module_give_the_same_output(family, preset):
    supernet, space, _ = build(family, preset)
    off = list(space.ranks)[::2]
    with supernet.gated({p: Mask(gate=torch.tensor(0.0)) for p in off}):
        masked = logits(supernet)
    with supernet.gated(dict.fromkeys(off)):
        torch.testing.assert_close(logits(supernet), masked, atol=1e-5, rtol=1e-4)


def test_gates_do_not_outlive_their_scope():
    supernet, space, _ = build()
    before = logits(supernet)
    with pytest.raises(RuntimeError), supernet.gated(dict.fromkeys(space.ranks)):
        raise RuntimeError
    torch.testing.assert_close(logits(supernet), before)


@EVERY
def test_masks_pick_the_model_that_the_configuration_describes(family, preset):
    supernet, space, sites = build(family, preset)
    table = OptionTable(space)
    configuration = Configuration.of(Choice(p.site, p.kind, ranks[0]) for p, ranks in list(space.ranks.items())[::3])
    chosen = {c.placement for c in configuration}
    gates = torch.tensor([float(p in chosen) for p in table.placements])
    ranks = table.one_hot_of(torch.zeros(len(table.placements), dtype=torch.long))
    with supernet.gated(fixed_gates(table, supernet.live, gates=gates, ranks=ranks)):
        masked = logits(supernet)
    small = attach(build(family, preset)[0].model.unload().eval(), configuration, sites=sites).eval()
    target = Supernet(small, sites=sites, space=space.restricted_to(configuration))
    for placement in target.live:
        target.module(placement).inherit(supernet.module(placement))
    torch.testing.assert_close(logits(target), masked, atol=1e-4, rtol=1e-3)  # "all" piles up more rounding


def test_removal_is_physical():
    supernet, space, sites = build()
    before = count_peft_parameters(supernet.model)
    site = "encoder.0.query"
    gone = [p for p in space.ranks if p.site == site]
    with supernet.gated(dict.fromkeys(gone)):
        skipped = logits(supernet)
    parameters = supernet.remove(gone)
    torch.testing.assert_close(logits(supernet), skipped)
    assert count_peft_parameters(supernet.model) == before - sum(p.numel() for p in parameters)
    path = next(s.path for s in sites if s.name == site)
    assert not isinstance(supernet.model.base_model.model.get_submodule(path), AdaptedLayer)
    assert not set(gone) & set(supernet.live)


@pytest.mark.parametrize("kind", [Disentangled, Entangled])
@pytest.mark.parametrize("relaxation", list(RELAXATIONS))
def test_every_stage_sends_gradients_to_its_logits(kind, relaxation):
    supernet, space, _ = build()
    architecture = kind(OptionTable(space))
    for stage in architecture.stages:
        gates, ranks = architecture.sample(stage, RELAXATIONS[relaxation], 1.0)
        masks = differentiable_gates(architecture.table, supernet.live, gates=gates, ranks=ranks)
        with supernet.gated(masks):
            loss = logits(supernet).square().sum()
        for gradient in torch.autograd.grad(loss, architecture.parameters(stage)):
            touched = gradient.abs().sum(-1) > 0
            ranked_only = architecture.table.is_ranked if stage == "rank" else torch.ones_like(touched)
            # Biases of keys have no part in the loss: the softmax of attention takes them out.
            assert (touched == ranked_only.bool()).float().mean() > 0.9


def test_hard_samples_follow_the_probabilities():
    torch.manual_seed(0)
    logits_ = torch.tensor([[0.0, torch.log(torch.tensor(3.0))]]).expand(4000, 2)
    share = RELAXATIONS["gumbel"](logits_, 1.0)[:, 1].mean()
    assert share == pytest.approx(0.75, abs=0.03)  # four standard errors of 4,000 draws


@pytest.mark.parametrize("make", [differentiable_gates, fixed_gates])
def test_gates_are_on_the_device_of_the_model(make):
    supernet, space, _ = build()
    table = OptionTable(space)
    half = torch.full((len(table.placements),), 0.5)
    # The meta device holds no values: to read a gate back from there is an error.
    masks = make(table, supernet.live, gates=half, ranks=table.one_hot_of(0 * half.long()), device="meta")
    tensors = [tensor for mask in masks.values() for tensor in mask if tensor is not None]
    assert len(tensors) > len(masks) and {tensor.device.type for tensor in tensors} == {"meta"}


@pytest.mark.parametrize("kind", [Disentangled, Entangled])
def test_a_rank_that_is_fixed_is_the_one_that_is_sampled(kind):
    _, space, _ = build()
    architecture = kind(OptionTable(space))
    architecture.fixed[:] = 0
    for stage in architecture.stages:
        _, ranks = architecture.sample(stage, RELAXATIONS["gumbel"], 1.0)
        assert torch.equal(ranks, architecture.table.one_hot_of(torch.zeros(len(ranks), dtype=torch.long)))
