"""Named search spaces: which kinds may stand at which roles, with which ranks."""

from collections.abc import Mapping
from dataclasses import dataclass

from peftsearch.registry import Registry
from peftsearch.space.site import CROSS_ROLES, LINEAR_ROLES, NORM_ROLES, ONCE_PER_STACK, Role, Site


@dataclass(frozen=True)
class Preset:
    """A search space that is not tied to a model yet; `SearchSpace.build` applies it to one.

    Args:
        name: its name for `--space`.
        description: one line for `peftsearch list spaces`.
        roles: for each kind, the roles it may stand at.
        ranks: candidate ranks of the ranked kinds, ascending.
        source: the publication that defines the space.
        encoding: name of the encoding in which methods search it, such as "flat": every choice by itself.
        needs_bias: kinds that are left out at layers without a bias, where they could not be merged.
    """

    name: str
    description: str
    roles: Mapping[str, frozenset[Role]]
    ranks: tuple[int, ...]
    source: str
    encoding: str = "flat"
    needs_bias: frozenset[str] = frozenset()

    def allows(self, kind: str, site: Site) -> bool:
        """Tell whether a kind may stand at a site, as far as the space goes; the kind may not fit there."""
        return site.role in self.roles.get(kind, ()) and (site.has_bias or kind not in self.needs_bias)


# The space of methods that have none of their own: plain LoRA, biases and norm weights, which all merge.
DEFAULT_SPACE = "mixed"
SPACES: Registry[Preset] = Registry("space", package="peftsearch.space.presets", group="peftsearch.spaces")


def register_space(preset: Preset) -> Preset:
    """Register a space under its name.

    Raises:
        ValueError: for a name that is taken.

    Example:
        register_space(Preset("wide_lora", "LoRA at every linear layer", {"lora": LINEAR_ROLES}, (4, 16), "my notes"))
    """
    return SPACES.add(preset.name, preset)


# S2 gives the linear maps of cross-attention no module; their norm has BitFit and LNFit.
_S2_LINEAR = LINEAR_ROLES - CROSS_ROLES
_S2_ROLES = {
    "lora": _S2_LINEAR,
    "low_rank_adapter": frozenset({Role.ATTENTION_OUTPUT, Role.FFN_OUT}),
    "bitfit": _S2_LINEAR | NORM_ROLES,
    "lnfit": NORM_ROLES,
}

# The maps that make the values of self-attention host its prefix.
_PREFIX_HOSTS = frozenset({Role.VALUE, Role.QUERY_KEY_VALUE})
_QUERY_AND_VALUE = _PREFIX_HOSTS | {Role.QUERY}
_FFN_OUT = frozenset({Role.FFN_OUT})
_KEYS = frozenset({Role.KEY, Role.CROSS_KEY})

register_space(
    Preset(
        "s2",
        "LoRA, low-rank adapter, BitFit and LNFit; ranks 1, 4, 8 (BIPEFT's default)",
        _S2_ROLES,
        (1, 4, 8),
        "Chang et al. 2024, section 4.1",
    )
)
register_space(
    Preset(
        "s1",
        "serial and parallel adapter at the FFN, prefix in self-attention; ranks 1, 4, 8 (BIPEFT's S1)",
        {
            "serial_adapter": _FFN_OUT,
            "parallel_adapter": _FFN_OUT,
            "prefix": _PREFIX_HOSTS,
        },
        (1, 4, 8),
        "Chang et al. 2024, section 4.1",
    )
)
register_space(
    Preset(
        "mixed",
        "LoRA, biases and norm weights, which plain peft loads and which merge; ranks 1 to 16",
        # A bias of the keys adds the same to all logits of a query, unless positions rotate them: softmax drops it.
        {"lora": LINEAR_ROLES, "bitfit": (LINEAR_ROLES | NORM_ROLES) - _KEYS, "lnfit": NORM_ROLES},
        (1, 2, 4, 8, 16),
        "the kinds of s2 that merge, with cross-attention",
        needs_bias=frozenset({"bitfit"}),
    )
)
register_space(
    Preset(
        "lora",
        "LoRA alone, at every linear map; ranks 1 to 32",
        {"lora": LINEAR_ROLES},
        (1, 2, 4, 8, 16, 32),
        "Hu et al. 2022 (LoRA), at every linear map",
    )
)
register_space(
    Preset(
        "all",
        "every kind at the roles it suits; ranks 1, 4, 8",
        # One serial bottleneck at a site: the plain one at the FFN as in S1, the low-rank one after attention.
        {
            "lora": LINEAR_ROLES,
            "bitfit": LINEAR_ROLES | NORM_ROLES,
            "lnfit": NORM_ROLES,
            "ia3": frozenset({Role.KEY, Role.VALUE, Role.FFN_OUT}),
            "low_rank_adapter": frozenset({Role.ATTENTION_OUTPUT, Role.CROSS_OUTPUT}),
            "serial_adapter": _FFN_OUT,
            "parallel_adapter": _FFN_OUT,
            "prefix": _PREFIX_HOSTS,
        },
        (1, 4, 8),
        "the union of s1, s2 and IA3, with cross-attention",
    )
)
register_space(
    Preset("s3delta_m", "the kinds of s2 at rank 1 (S3Delta-M)", _S2_ROLES, (1,), "Hu et al. 2022, section 4.2")
)
register_space(
    Preset("s3delta_l", "LoRA at rank 1 only (S3Delta-L)", {"lora": _S2_LINEAR}, (1,), "Hu et al. 2022, section 4.2")
)
register_space(
    Preset(
        "autopeft",
        "serial adapter, parallel adapter and prefix: one size each, one layer mask for all",
        {"serial_adapter": _FFN_OUT, "parallel_adapter": _FFN_OUT, "prefix": _PREFIX_HOSTS},
        (1, 3, 6, 12, 24, 48, 96, 192, 384, 768),
        "Zhou et al. 2024, section 3.1",
        "autopeft",
    )
)
register_space(
    Preset(
        "noah",
        "LoRA, serial adapter and prefix: a depth for each kind, a size in each layer",
        {"lora": _QUERY_AND_VALUE, "serial_adapter": _FFN_OUT, "prefix": _PREFIX_HOSTS},
        (1, 5, 10),
        "Zhang et al. 2022, section 3.2, for text",
        "noah",
    )
)
register_space(
    Preset(
        "design_spaces",
        "adapter, prefix, BitFit and LoRA in four groups of layers; sizes follow from the budget",
        {
            "serial_adapter": _FFN_OUT,
            "prefix": _PREFIX_HOSTS,
            "bitfit": LINEAR_ROLES | (NORM_ROLES - ONCE_PER_STACK),
            "lora": _QUERY_AND_VALUE,
        },
        tuple(range(1, 65)),
        "Chen et al. 2023, section 3",
        "design_spaces",
    )
)
