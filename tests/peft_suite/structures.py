"""The configurations of ours that take part in peft's tests."""

from functools import lru_cache
from typing import Any

from peftsearch.models.discover import find_sites
from peftsearch.modules.adapter_config import PeftSearchConfig
from peftsearch.modules.attach import make_peft_config
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Choice, Configuration, Role, Site


class Structure(dict):
    """Settings of a configuration, with a name for the test's id."""

    def __init__(self, name: str, **settings: Any):
        super().__init__(settings)
        self.name = name


class OnTargets(PeftSearchConfig):
    """For tests that give `target_modules` alone: LoRA and BitFit on each."""

    def __init__(self, target_modules: list[str], **settings: Any):
        super().__init__(sites={path: {"lora": 2, "bitfit": 1} for path in target_modules}, **settings)


# The models of test_custom_models.py: two linear maps, some with a norm before each, or an embedding with a Conv1D.
# None has a block that a parallel adapter could stand beside, and none has an attention for a prefix.
_ON_CUSTOM_MODELS = {
    "LoRA": ("MLP", {"sites": {"lin0": {"lora": 2}, "lin1": {"lora": 3}}}),
    "LoRA at one site": ("MLP", {"sites": {"lin0": {"lora": 2}}}),
    "LoRA with a head": ("MLP", {"sites": {"lin0": {"lora": 2}}, "modules_to_save": ["lin1"]}),
    "BitFit": ("MLP", {"sites": {"lin0": {"bitfit": 1}, "lin1": {"bitfit": 1}}}),
    "LoRA and BitFit": ("MLP2", {"sites": {"lin0": {"lora": 4, "bitfit": 1}, "lin1": {"bitfit": 1}}}),
    "LNFit": ("MLP_LayerNorm", {"sites": {"layernorm0": {"lnfit": 1}}}),
    "LoRA, BitFit and LNFit": (
        "MLP_LayerNorm",
        {"sites": {"layernorm0": {"lnfit": 1, "bitfit": 1}, "lin0": {"lora": 2, "bitfit": 1}, "lin1": {"lora": 1}}},
    ),
    "IA3": (
        "MLP",
        {"sites": {"lin0": {"ia3": 1}, "lin1": {"ia3": 1}}, "roles": {"lin0": "value", "lin1": "ffn_out"}},
    ),
    "LoRA, BitFit and IA3": ("MLP", {"sites": {"lin0": {"lora": 2, "bitfit": 1, "ia3": 1}}, "roles": {"lin0": "key"}}),
    "Conv1D": ("EmbConv1D", {"sites": {"conv1d": {"lora": 1, "bitfit": 1}, "lin0": {"lora": 2}}}),
    "serial adapter": ("MLP", {"sites": {"lin0": {"serial_adapter": 3}}}),
    "low-rank adapter": ("MLP_LayerNorm", {"sites": {"lin0": {"lora": 2}, "lin1": {"low_rank_adapter": 2}}}),
}

CUSTOM = [
    (name, model, PeftSearchConfig, Structure(name, **settings))
    for name, (model, settings) in _ON_CUSTOM_MODELS.items()
]


def _pair(name: str, first: dict[str, Any], second: dict[str, Any]) -> tuple[str, str, type, Structure, Structure]:
    structures = (Structure(name, init_weights=False, **settings) for settings in (first, second))
    return (name, "peftsearch", PeftSearchConfig, *structures)


PAIRS = [
    _pair("same", {"sites": {"lin0": {"lora": 2}}}, {"sites": {"lin0": {"lora": 2}}}),
    _pair("two ranks", {"sites": {"lin0": {"lora": 2}}}, {"sites": {"lin0": {"lora": 5}}}),
    _pair("two kinds", {"sites": {"lin0": {"lora": 2}}}, {"sites": {"lin0": {"bitfit": 1}}}),
    _pair("two sites", {"sites": {"lin0": {"lora": 2}}}, {"sites": {"lin1": {"lora": 2, "bitfit": 1}}}),
    _pair(
        "rescaled",
        {"sites": {"lin0": {"ia3": 1}}, "roles": {"lin0": "value"}},
        {"sites": {"lin0": {"lora": 2, "ia3": 1}}, "roles": {"lin0": "ffn_out"}},
    ),
]

# Structures for transformers: name -> kinds.
TRANSFORMERS = {
    "lora": ("lora",),
    "lora+bitfit+lnfit": ("lora", "bitfit", "lnfit"),
    "lora+ia3": ("lora", "ia3"),
    "adapters": ("serial_adapter", "parallel_adapter", "low_rank_adapter"),
    "prefix+lnfit": ("prefix", "lnfit"),
}


@lru_cache
def sites_of(model_class: type, name: str) -> list[Site]:
    """Every site of a model in `hub.py`."""
    return find_sites(model_class.from_pretrained(name))


def settings_for(structure: str, sites: list[Site]) -> dict[str, Any]:
    """What a structure is on a model: its kinds wherever they fit, LoRA in attention only, ranks by depth."""
    chosen = Configuration.of(
        Choice(site.name, kind, 1 + site.layer if KINDS[kind].ranked else 1)
        for kind in TRANSFORMERS[structure]
        for site in sites
        if KINDS[kind].fits(site) and not (kind == "lora" and site.role in (Role.FFN_IN, Role.FFN_OUT))
    )
    config = make_peft_config(chosen, sites=sites)
    return {"sites": config.sites, "inputs": config.inputs, "roles": config.roles}
