"""Attach the modules of a configuration to a model, and count them."""

from collections.abc import Iterable, Mapping, Sequence

from peft import PeftModel, get_peft_model
from torch import nn

from peftsearch.modules.adapted_layer import PREFIX
from peftsearch.modules.adapter_config import PeftSearchConfig
from peftsearch.modules.costs import num_parameters
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Configuration, Site
from peftsearch.space.transfer import require_sites

# Names of the tensors of peft's LoRA and AdaLoRA.
LORA_FACTORS = ("lora_A", "lora_B", "lora_E")
# Name of the tensor of peft's that holds the rows of tokens.
TOKEN_ROWS = "trainable_tokens_delta"


def make_peft_config(
    configuration: Configuration,
    *,
    sites: Iterable[Site],
    head: Sequence[str] = (),
    task_type: str | None = None,
    token_rows: Mapping[str, list[int]] | None = None,
) -> PeftSearchConfig:
    """Make peft's form of a configuration: site names become the model's module names.

    Args:
        configuration: the choices, by site name.
        sites: all sites of the model.
        head: names of the modules to train and save in full.
        task_type: peft's name of the task, such as "SEQ_CLS" or "SEQ_2_SEQ_LM".
        token_rows: name of a layer -> numbers of tokens whose rows are trained and saved.

    Raises:
        ConfigurationError: for a choice at a site that the model lacks, or of a kind that does not fit there.
    """
    by_name = {site.name: site for site in sites}
    ranks: dict[str, dict[str, int]] = {}
    inputs, roles = {}, {}
    require_sites(configuration, by_name.values())
    for choice in configuration:
        site = by_name[choice.site]
        num_parameters(choice.kind, site, choice.rank)
        ranks.setdefault(site.path, {})[choice.kind] = choice.rank
        if KINDS[choice.kind].reads_block_input:
            inputs[site.path] = site.input_path
        if KINDS[choice.kind].reads_role:
            roles[site.path] = str(site.role)
    return PeftSearchConfig(
        sites=ranks,
        inputs=inputs,
        roles=roles,
        modules_to_save=list(head) or None,
        trainable_token_indices=dict(token_rows or {}) or None,
        task_type=task_type,
    )


def attach(
    model: nn.Module,
    configuration: Configuration,
    *,
    sites: Iterable[Site],
    head: Sequence[str] = (),
    task_type: str | None = None,
    token_rows: Mapping[str, list[int]] | None = None,
) -> PeftModel:
    """Attach a configuration's modules and freeze all other weights except the head's and the rows of some tokens.

    Args:
        model: the base model; it is changed in place.
        configuration: as for `make_peft_config`, like the arguments after it.
        sites: all sites of the model.
        head: names of the modules to train and save in full.
        task_type: peft's name of the task.
        token_rows: name of a layer -> numbers of tokens whose rows are trained and saved.

    Raises:
        ConfigurationError: as `make_peft_config` does.
    """
    config = make_peft_config(configuration, sites=sites, head=head, task_type=task_type, token_rows=token_rows)
    return get_peft_model(model, config)


def count_peft_parameters(model: nn.Module) -> int:
    """Count the parameters that really are attached to a model, task head excluded.

    They are recognised by name: those of our modules, the factors of peft's own LoRA methods, and the rows of tokens.
    AdaLoRA's `ranknum`, a constant at each layer that is neither trained nor saved, does not count.
    """
    return sum(p.numel() for name, p in model.named_parameters() if is_attached(name))


def is_attached(name: str) -> bool:
    """Tell whether a parameter of this name belongs to what is attached; see `count_peft_parameters`."""
    return f".{PREFIX}" in name or any(f".{factor}." in name for factor in (*LORA_FACTORS, TOKEN_ROWS))
