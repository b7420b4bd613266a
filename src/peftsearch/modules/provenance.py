"""What a saved adapter says of how it came about."""

from torch import nn

from peftsearch.environment import versions
from peftsearch.modules.adapter_config import PeftSearchConfig

_PACKAGES = ("peftsearch", "peft", "transformers", "torch")


def write_provenance(model: nn.Module, *, method: str, budget: int | None, seed: int) -> None:
    """Put method, budget, seed and versions into the configuration that `save_pretrained` writes.

    No time and no path, so that equal runs write equal files. The methods of peft itself have no place for it.
    """
    found = versions()
    for config in getattr(model, "peft_config", {}).values():
        if isinstance(config, PeftSearchConfig):
            config.provenance = {
                "method": method,
                "budget": budget,
                "seed": seed,
                "versions": {package: found[package] for package in _PACKAGES},
            }
