"""Kinds that read the input of the feed-forward block, on real (tiny) models."""

import copy

import pytest
import torch
from peft import PeftModel
from torch.nn.functional import gelu

from peftsearch.errors import ConfigurationError
from peftsearch.models.discover import find_sites
from peftsearch.modules.adapter_config import PeftSearchConfig
from peftsearch.modules.attach import attach, make_peft_config
from peftsearch.modules.costs import num_parameters
from peftsearch.space import Choice, Configuration, Placement, Role, SearchSpace, Site
from peftsearch.supernet.supernet import Supernet
from peftsearch.testing.tiny_models import TINY

IDS = torch.arange(5, 19).view(2, 7)


def logits(model) -> torch.Tensor:
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = IDS[:, :3]
    return model(**inputs).logits


def with_adapters(family: str, *more: Choice) -> tuple[PeftModel, list[Site]]:
    torch.manual_seed(0)
    model = TINY[family]()
    sites = find_sites(model)
    ends = [site for site in sites if site.role == Role.FFN_OUT]
    choices = [Choice(site.name, "parallel_adapter", 3) for site in ends]
    adapted = attach(model, Configuration.of([*choices, *more]), sites=sites)
    for name, parameter in adapted.named_parameters():
        if "peftsearch_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return adapted.eval(), ends


def hooks(model) -> int:
    return sum(len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("family", list(TINY))
@pytest.mark.parametrize("first_map_is_adapted", [False, True])
def test_a_parallel_adapter_reads_what_the_first_map_reads(family, first_map_is_adapted):
    stack = find_sites(TINY[family]())[-1].stack
    more = [Choice(f"{stack}.{i}.ffn_in", "lora", 2) for i in range(2)] if first_map_is_adapted else []
    adapted, ends = with_adapters(family, *more)
    inner = adapted.base_model.model
    seen = {}
    for end in ends:
        first = inner.get_submodule(end.input_path)
        first.register_forward_hook(lambda m, args, out, end=end: seen.__setitem__((end.name, "x"), args[0]))
        last = inner.get_submodule(end.path)
        last.base_layer.register_forward_hook(lambda m, a, out, end=end: seen.__setitem__((end.name, "y"), out))
        last.register_forward_hook(lambda m, a, out, end=end: seen.__setitem__((end.name, "out"), out))
    logits(adapted)
    for end in ends:
        m = inner.get_submodule(end.path).peftsearch_parallel_adapter["default"]
        x, y = seen[end.name, "x"], seen[end.name, "y"]
        expected = y + gelu(x @ m.down.T + m.down_bias, approximate="tanh") @ m.up.T + m.up_bias
        torch.testing.assert_close(seen[end.name, "out"], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "t5", "llama", "gpt2"])
def test_a_deep_copy_reads_its_own_block(family):
    adapted, _ = with_adapters(family)
    before = logits(adapted)  # leaves nothing behind that cannot be copied
    twin = copy.deepcopy(adapted)
    adapted.base_model.unload()
    assert hooks(adapted) == 0 and hooks(twin) > 0
    torch.testing.assert_close(logits(twin), before)


@pytest.mark.parametrize("family", ["bert", "t5", "llama"])
def test_gradient_checkpointing_gives_the_same_gradients(family):
    gradients = []
    for checkpoints in (False, True):
        adapted, _ = with_adapters(family)
        if checkpoints:
            adapted.gradient_checkpointing_enable({"use_reentrant": False})
        adapted.train()
        for module in adapted.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.manual_seed(1)
        logits(adapted).float().square().sum().backward()
        gradients.append({n: p.grad for n, p in adapted.named_parameters() if p.grad is not None})
    assert gradients[0] and gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-4, rtol=1e-3)


def test_the_hook_goes_with_the_last_adapter_that_needs_it():
    adapted, ends = with_adapters("bert")
    sites = find_sites(TINY["bert"]())
    other = Configuration.of([Choice(ends[0].name, "parallel_adapter", 1)])
    adapted.add_adapter("other", make_peft_config(other, sites=sites))
    assert hooks(adapted) == 2
    adapted.delete_adapter("default")
    assert hooks(adapted) == 1
    adapted.set_adapter("other")
    adapted.delete_adapter("other")
    assert hooks(adapted) == 0


def test_the_hook_goes_when_a_supernet_removes_the_module():
    adapted, ends = with_adapters("bert")
    sites = find_sites(TINY["bert"]())
    costs = {Choice(end.name, "parallel_adapter", 3): num_parameters("parallel_adapter", end, 3) for end in ends}
    supernet = Supernet(adapted, sites=sites, space=SearchSpace(costs))
    supernet.remove([Placement(ends[0].name, "parallel_adapter")])
    assert hooks(adapted) == 1


def test_an_adapter_file_without_the_input_is_refused():
    with pytest.raises(ConfigurationError, match="'inputs' lacks the site 'a'"):
        PeftSearchConfig(sites={"a": {"parallel_adapter": 2}})
    with pytest.raises(ConfigurationError, match="'roles' lacks the site 'a'"):
        PeftSearchConfig(sites={"a": {"ia3": 1}})
    with pytest.raises(ConfigurationError, match="role 'keys'"):
        PeftSearchConfig(sites={"a": {"ia3": 1}}, roles={"a": "keys"})


@pytest.mark.parametrize("family", ["bert", "t5", "llama", "gpt2"])
def test_merging_several_kinds_and_adapters_at_one_site_gives_the_same_model(family):
    torch.manual_seed(0)
    model = TINY[family]().eval()
    sites = find_sites(model)
    has_bias = family in ("bert", "gpt2")
    kinds = [("lora", 2), ("ia3", 1)] + [("bitfit", 1)] * has_bias
    places = [s for s in sites if s.role in (Role.KEY, Role.VALUE, Role.FFN_OUT)]
    configuration = Configuration.of(Choice(s.name, kind, rank) for s in places for kind, rank in kinds)
    adapted = attach(model, configuration, sites=sites)
    adapted.add_adapter("other", make_peft_config(configuration, sites=sites))
    adapted.base_model.set_adapter(["default", "other"])
    for name, parameter in adapted.named_parameters():
        if "peftsearch_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        after = logits(adapted.eval())
        merged = adapted.merge_and_unload(adapter_names=["default", "other"])
        torch.testing.assert_close(logits(merged), after, atol=1e-4, rtol=1e-3)
