"""A configuration with every kind that fits a model, and models with the inputs to tell them apart."""

from collections.abc import Iterable
from pathlib import Path

import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from peftsearch.models.discover import find_sites
from peftsearch.modules.attach import attach
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Choice, Configuration, Site
from peftsearch.testing.tiny_models import CONFIGS

IDS = torch.arange(5, 19).view(2, 7)
# Where each kind stands.
ROLES = {
    "lora": ("query", "value", "ffn_in"),
    "bitfit": ("attention_norm", "ffn_in"),
    "lnfit": ("attention_norm", "ffn_norm", "final_norm"),
    "ia3": ("key",),
    "serial_adapter": ("attention_output",),
    "low_rank_adapter": ("ffn_out",),
    "parallel_adapter": ("ffn_out",),
    "prefix": ("value",),
}
MERGEABLE = ("lora", "lnfit", "ia3")
AUTO_CLASSES = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "SEQ_2_SEQ_LM": AutoModelForSeq2SeqLM,
    "CAUSAL_LM": AutoModelForCausalLM,
}


def heterogeneous(sites: Iterable[Site], kinds: Iterable[str] = tuple(ROLES)) -> Configuration:
    """Kinds at the roles above, with ranks that differ from layer to layer."""
    return Configuration.of(
        Choice(site.name, kind, 1 + site.layer if KINDS[kind].ranked else 1)
        for kind in kinds
        for site in sites
        if site.role in ROLES[kind] and KINDS[kind].fits(site)
    )


def save_base(family: str, task_type: str, folder: Path) -> Path:
    """Save a tiny model; the same call always gives the same weights."""
    torch.manual_seed(0)
    AUTO_CLASSES[task_type].from_config(CONFIGS[family]()).save_pretrained(folder)
    return folder


def load_base(folder: Path, task_type: str, **options) -> nn.Module:
    """Load what `save_base` saved, ready to be evaluated."""
    return AUTO_CLASSES[task_type].from_pretrained(folder, **options).eval()


def adapted(base: nn.Module, task_type: str, kinds: Iterable[str] = tuple(ROLES)) -> PeftModel:
    """Attach the heterogeneous configuration, with weights that change the output."""
    sites = find_sites(base)
    head = ("classifier",) if hasattr(base, "classifier") else ("score",) if hasattr(base, "score") else ()
    model = attach(base, heterogeneous(sites, kinds), sites=sites, head=head, task_type=task_type)
    disturb(model)
    return model.eval()


def disturb(model: nn.Module, name: str = "peftsearch_", seed: int = 0) -> None:
    """Draw the tensors of an adapter at random."""
    generator = torch.Generator().manual_seed(seed)
    for own, parameter in model.named_parameters():
        if "peftsearch_" in own and name in own:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


def logits(model: nn.Module) -> torch.Tensor:
    """What a model says to a fixed input."""
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = IDS[:, :3]
    with torch.no_grad():
        return model(**inputs).logits
