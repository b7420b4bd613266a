"""Every registered kind on every family: the contract of a module kind."""

import pytest
import torch
from peft import PeftModel
from tiny_models import TINY

from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach, count_peft_parameters
from peftsearch.modules.costs import num_parameters
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import CROSS_ROLES, Choice, Configuration

TOLERANCE = {"atol": 1e-5, "rtol": 1e-4}  # different kernels for merged and unmerged weights
CASES = [(family, kind) for family in TINY for kind in KINDS]


def everywhere(sites, kind: str, rank: int = 3) -> Configuration:
    rank = rank if KINDS[kind].ranked else 1
    found = Configuration.of(Choice(site.name, kind, rank) for site in sites if KINDS[kind].fits(site))
    if not len(found):
        pytest.skip(f"{kind} fits no site of this family")
    return found


def test_a_kind_that_fits_no_site_of_a_family_is_a_known_exception():
    nowhere = {(f, k) for f in TINY for k in KINDS if not any(KINDS[k].fits(s) for s in find_sites(TINY[f]()))}
    assert nowhere == {("deberta-v2", "prefix")}


def logits(model, seed: int = 0) -> torch.Tensor:
    ids = torch.randint(5, 60, (2, 7), generator=torch.Generator().manual_seed(seed))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :3]
    with torch.no_grad():
        return model.eval()(**inputs).logits


def disturb(model, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "peftsearch_" in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("family,kind", CASES)
def test_a_new_adapter_changes_nothing_and_counts_as_computed(family, kind):
    model = TINY[family]()
    before, sites = logits(model), find_sites(model)
    configuration = everywhere(sites, kind)
    by_name = {site.name: site for site in sites}
    adapted = attach(model, configuration, sites=sites)
    torch.testing.assert_close(logits(adapted), before, **TOLERANCE)
    expected = sum(num_parameters(c.kind, by_name[c.site], c.rank) for c in configuration)
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert count_peft_parameters(adapted) == expected == trainable


@pytest.mark.parametrize("family,kind", CASES)
def test_every_tensor_gets_a_gradient(family, kind):
    torch.manual_seed(0)
    model = TINY[family]()
    adapted = attach(model, everywhere(find_sites(model), kind), sites=find_sites(model))
    disturb(adapted)
    ids = torch.randint(5, 60, (2, 7))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :3]
    adapted.train()(**inputs).logits.float().pow(2).sum().backward()
    missing = [n for n, p in adapted.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def as_if_pretrained(model):
    """Biases start at 0 and norms at 1, which would hide a merge that forgets them."""
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


@pytest.mark.parametrize("family,kind", CASES)
def test_saving_disabling_and_merging_keep_their_promises(family, kind, tmp_path):
    model = as_if_pretrained(TINY[family]())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    before, sites = logits(model), find_sites(model)
    adapted = attach(model, everywhere(sites, kind), sites=sites)
    disturb(adapted)
    after = logits(adapted)
    assert (after - before).abs().max() > 1e-6
    adapted.save_pretrained(str(tmp_path))

    base = TINY[family]()
    base.load_state_dict(state)
    reloaded = PeftModel.from_pretrained(base, str(tmp_path))
    torch.testing.assert_close(logits(reloaded), after, **TOLERANCE)
    with reloaded.disable_adapter():
        torch.testing.assert_close(logits(reloaded), before, **TOLERANCE)
    if not reloaded.base_model.unmergeable_sites():
        torch.testing.assert_close(logits(reloaded.merge_and_unload()), after, **TOLERANCE)


@pytest.mark.parametrize("family", list(TINY))
def test_two_adapters_with_different_structures_live_side_by_side(family, tmp_path):
    model = TINY[family]()
    sites = find_sites(model)
    linear = [site for site in sites if not site.role.is_norm and site.role not in CROSS_ROLES]
    adapted = attach(model, Configuration.of([Choice(linear[0].name, "lora", 2)]), sites=sites)
    disturb(adapted)
    first = logits(adapted)
    from peftsearch.modules.attach import make_peft_config

    other = Configuration.of([Choice(linear[-1].name, "lora", 5), Choice(linear[0].name, "bitfit")])
    adapted.add_adapter("other", make_peft_config(other, sites=sites))
    disturb(adapted, seed=1)
    torch.manual_seed(0)
    adapted.set_adapter("other")
    second = logits(adapted)
    assert (first - second).abs().max() > 1e-6
    adapted.set_adapter("default")
    adapted.delete_adapter("other")
    assert not [n for n, _ in adapted.named_parameters() if ".other" in n]
