"""The contracts of module kinds and of model families, on tiny models."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from peftsearch.models.discover import find_sites
from peftsearch.models.head import find_head
from peftsearch.modules.attach import attach, count_peft_parameters, make_peft_config
from peftsearch.modules.costs import num_parameters
from peftsearch.modules.peft_module import KINDS, Mask, PeftModule, layer_widths
from peftsearch.space import CROSS_ROLES, Choice, Configuration, Role, Site
from peftsearch.testing.cases import parametrise
from peftsearch.testing.tiny_models import TINY

TOLERANCE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-4}  # different kernels for merged and unmerged weights
WIDTH, RANK = 64, 4


class KindTests:
    """The contract of a module kind, alone and everywhere that it fits in models.

    Derive from it and name the kinds; `models` has a tiny model of each family of texts unless you name others.

    Example:
        class TestOutputScale(KindTests):
            kinds = ("output_scale",)
    """

    kinds: Iterable[str] = ()
    models: Mapping[str, Callable[[], PreTrainedModel]] = TINY

    @pytest.fixture(autouse=True)
    def seeded(self) -> None:
        """Draw the same random numbers in every run."""
        torch.manual_seed(0)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test for every kind, and for every model where it takes one."""
        parametrise(metafunc, kind=self.kinds, family=self.models)

    def test_it_fits_a_site_of_some_model(self, kind):
        assert any(KINDS[kind].fits(site) for make in self.models.values() for site in find_sites(make()))

    def test_a_new_module_gives_exactly_its_layers_output(self, kind):
        base, x = layer_of(kind), torch.randn(2, 5, WIDTH)
        y = base(x)
        assert torch.equal(KINDS[kind].build(base, RANK, None)(x, y), y)

    @pytest.mark.parametrize("rank", [1, 4, 8])
    def test_a_first_step_moves_the_output_about_as_far_as_loras(self, kind, rank):
        # At the kind's own multiple of the learning rate; else one kind decides what a search sees.
        if KINDS[kind].acts_in_attention:
            pytest.skip("it changes no layer's output")
        assert 1 / 4 < first_step(kind, rank) / first_step("lora", rank) < 4

    def test_a_gate_of_zero_leaves_the_output_and_one_changes_nothing(self, kind):
        base, x = layer_of(kind), torch.randn(2, 5, WIDTH)
        module, y = filled(kind, base, RANK), base(x)
        torch.testing.assert_close(module(x, y, Mask(gate=torch.tensor(0.0))), y)
        torch.testing.assert_close(module(x, y, Mask(gate=torch.tensor(1.0))), module(x, y))

    def test_rank_axes_are_where_the_shapes_of_two_ranks_differ(self, kind):
        base = layer_of(kind)
        small, large = (dict(KINDS[kind].build(base, rank, None).named_parameters()) for rank in (3, 5))
        axes = {
            name: axis
            for name, parameter in small.items()
            for axis, (a, b) in enumerate(zip(parameter.shape, large[name].shape, strict=True))
            if (a, b) == (3, 5)
        }
        assert axes == KINDS[kind].rank_axes
        assert bool(axes) == KINDS[kind].ranked

    def test_a_rank_mask_equals_a_module_of_the_leading_components(self, kind):
        if not KINDS[kind].ranked:
            return
        base, x = layer_of(kind), torch.randn(2, 5, WIDTH)
        large, small = filled(kind, base, 8), KINDS[kind].build(base, 3, None)
        small.inherit(large)
        mask = Mask(rank=torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 0]))
        torch.testing.assert_close(large(x, base(x), mask), small(x, base(x)), atol=1e-4, rtol=1e-4)

    def test_a_new_adapter_changes_nothing_and_counts_as_computed(self, family, kind):
        model = self.models[family]()
        before, sites = logits(model), find_sites(model)
        configuration = everywhere(sites, kind)
        by_name = {site.name: site for site in sites}
        adapted = attach(model, configuration, sites=sites)
        torch.testing.assert_close(logits(adapted), before, **TOLERANCE)
        expected = sum(num_parameters(c.kind, by_name[c.site], c.rank) for c in configuration)
        trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
        assert count_peft_parameters(adapted) == expected == trainable

    def test_every_tensor_gets_a_gradient(self, family, kind):
        model = self.models[family]()
        adapted = attach(model, everywhere(find_sites(model), kind), sites=find_sites(model))
        disturb(adapted)
        adapted.train()(**inputs_of(model)).logits.float().pow(2).sum().backward()
        missing = [n for n, p in adapted.named_parameters() if p.requires_grad and p.grad is None]
        assert not missing

    def test_saving_disabling_and_merging_keep_their_promises(self, family, kind, tmp_path):
        model = as_if_pretrained(self.models[family]())
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        before, sites = logits(model), find_sites(model)
        adapted = attach(model, everywhere(sites, kind), sites=sites)
        disturb(adapted)
        after = logits(adapted)
        assert (after - before).abs().max() > 1e-6
        adapted.save_pretrained(str(tmp_path))

        base = self.models[family]()
        base.load_state_dict(state)
        reloaded = PeftModel.from_pretrained(base, str(tmp_path))
        torch.testing.assert_close(logits(reloaded), after, **TOLERANCE)
        with reloaded.disable_adapter():
            torch.testing.assert_close(logits(reloaded), before, **TOLERANCE)
        tuner: Any = reloaded.base_model
        if not tuner.unmergeable_sites():
            torch.testing.assert_close(logits(reloaded.merge_and_unload()), after, **TOLERANCE)


class FamilyTests(KindTests):
    """The contract of a model family: sites that are there, which every kind can use.

    Derive from it and give a maker of a tiny model; `build` makes one of a configuration.

    Example:
        class TestOpt(FamilyTests):
            models = {"opt": lambda: build(OPTConfig(hidden_size=32, ...))}
    """

    kinds = KINDS

    def test_sites_name_layers_of_the_widths_given(self, family):
        model = self.models[family]()
        sites = find_sites(model)
        assert len({site.name for site in sites}) == len({site.path for site in sites}) == len(sites) > 0
        for site in sites:
            assert layer_widths(model.get_submodule(site.path)) == (site.in_width, site.out_width), site.name

    def test_merging_and_unloading_leave_a_plain_model_with_its_trained_head(self, family):
        model = self.models[family]()
        head = find_head(model, frozenset())
        names, sites = list(model.state_dict()), find_sites(model)
        place = next(site for site in sites if KINDS["lora"].fits(site))
        configuration = Configuration.of([Choice(place.name, "lora", 2)])
        merged, unloaded = (attach(copy.deepcopy(model), configuration, sites=sites, head=head) for _ in range(2))
        for adapted in (merged, unloaded):
            disturb(adapted)
            disturb(adapted, part="modules_to_save.default")
        after = logits(merged)
        plain = merged.merge_and_unload()
        torch.testing.assert_close(logits(plain), after, **TOLERANCE)
        taken_off = unloaded.unload()
        for name in head:
            own, fresh = (each.get_submodule(name).state_dict() for each in (taken_off, model))
            torch.testing.assert_close(own, dict(plain.get_submodule(name).state_dict()), rtol=0, atol=0)
            assert any(not torch.equal(own[key], fresh[key]) for key in own)
        assert list(plain.state_dict()) == list(taken_off.state_dict()) == names

    def test_two_adapters_with_different_structures_live_side_by_side(self, family):
        model = self.models[family]()
        sites = find_sites(model)
        linear = [site for site in sites if not site.role.is_norm and site.role not in CROSS_ROLES]
        adapted = attach(model, Configuration.of([Choice(linear[0].name, "lora", 2)]), sites=sites)
        disturb(adapted)
        first = logits(adapted)
        other = Configuration.of([Choice(linear[-1].name, "lora", 5), Choice(linear[0].name, "bitfit")])
        adapted.add_adapter("other", make_peft_config(other, sites=sites))
        disturb(adapted, seed=1)
        adapted.set_adapter("other")
        second = logits(adapted)
        assert (first - second).abs().max() > 1e-6
        adapted.set_adapter("default")
        adapted.delete_adapter("other")
        assert not [n for n, _ in adapted.named_parameters() if ".other" in n]


def layer_of(kind: str) -> nn.Module:
    """A layer that the kind can stand at: a linear map, or a norm where it fits no linear map."""
    roles = (role for role in Role if not role.is_norm)
    linear = (
        Site("encoder", 0, role, "layer", WIDTH, WIDTH, input_path="layer", prefix_width=WIDTH) for role in roles
    )
    return nn.Linear(WIDTH, WIDTH) if any(map(KINDS[kind].fits, linear)) else nn.LayerNorm(WIDTH)


def first_step(kind: str, rank: int) -> float:
    """The size of the change that the first step of AdamW makes in a layer's output, for a learning rate of 1."""
    torch.manual_seed(0)
    base, x, direction, rate = layer_of(kind), torch.randn(8, 16, WIDTH), torch.randn(WIDTH), 1e-3
    module = KINDS[kind].build(base, rank, None)

    def output() -> torch.Tensor:
        changed = module.before(x)
        return module(changed, base(changed))

    before = output().detach()
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate * module.learning_rate_scale, weight_decay=0)
    (output() @ direction).mean().backward()
    optimizer.step()
    return (output() - before).detach().square().mean().sqrt().item() / rate


def filled(kind: str, base: nn.Module, rank: int) -> PeftModule:
    """A module whose every tensor is drawn at random."""
    module = KINDS[kind].build(base, rank, None)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def everywhere(sites: Sequence[Site], kind: str, rank: int = 3) -> Configuration:
    """The kind at every site that it fits; skips the test where it fits none."""
    rank = rank if KINDS[kind].ranked else 1
    found = Configuration.of(Choice(site.name, kind, rank) for site in sites if KINDS[kind].fits(site))
    if not len(found):
        pytest.skip(f"{kind} fits no site of this family")
    return found


def inputs_of(model: PreTrainedModel | PeftModel, seed: int = 0) -> dict[str, torch.Tensor]:
    """Two sentences of seven random tokens: (2, 7) each; or two pictures of random pixels."""
    if model.main_input_name == "pixel_values":
        config = model.config
        shape = (2, config.num_channels, config.image_size, config.image_size)
        return {"pixel_values": torch.randn(shape, generator=torch.Generator().manual_seed(seed))}
    ids = torch.randint(5, 60, (2, 7), generator=torch.Generator().manual_seed(seed))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs | {"decoder_input_ids": ids[:, :3]} if getattr(model.config, "is_encoder_decoder", False) else inputs


@torch.no_grad()
def logits(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    """The model's outputs for `inputs_of`."""
    return model.eval()(**inputs_of(model)).logits


def disturb(model: nn.Module, seed: int = 0, *, part: str = "peftsearch_") -> None:
    """Draw every tensor of every adapter at random, or others with `part` in their name."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if part in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


def as_if_pretrained(model: PreTrainedModel) -> PreTrainedModel:
    """Change biases and norms, which start at 0 and 1: that would hide a merge that forgets them."""
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return model
