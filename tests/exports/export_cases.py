"""Trained-looking adapters on small models, to be exported."""

import copy
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from peftsearch.exports.source import Source
from peftsearch.models.discover import find_sites
from peftsearch.models.head import find_head
from peftsearch.modules.attach import attach
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Choice, Configuration, Site
from peftsearch.testing.tiny_models import TINY


def spread(sites: Sequence[Site], kinds: Sequence[str]) -> Configuration:
    """Each kind at every second site that it fits, with ranks from 1 to 3."""
    choices = []
    for offset, kind in enumerate(kinds):
        fitting = [site for site in sites if KINDS[kind].fits(site)][offset % 2 :: 2]
        choices += [Choice(s.name, kind, 1 + i % 3 if KINDS[kind].ranked else 1) for i, s in enumerate(fitting)]
    return Configuration.of(choices)


def disturb(model: torch.nn.Module) -> None:
    """Give everything that is trained, the head too, a value that changes the outputs."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


def source_on(base: PreTrainedModel, configuration: Configuration, *, name: str = "tiny") -> Source:
    """A configuration with random weights on a model."""
    fresh, sites = copy.deepcopy(base), find_sites(base)
    task_type = "SEQ_2_SEQ_LM" if base.config.is_encoder_decoder else "SEQ_CLS"
    model = attach(base, configuration, sites=sites, head=find_head(base), task_type=task_type)
    disturb(model)
    return Source(name, model, load_base=lambda: copy.deepcopy(fresh), load_tokenizer=lambda: None)


def tiny_source(family: str, *kinds: str) -> Source:
    """Some of each kind on a tiny model."""
    torch.manual_seed(0)
    base = TINY[family]()
    return source_on(base, spread(find_sites(base), kinds), name=family)
