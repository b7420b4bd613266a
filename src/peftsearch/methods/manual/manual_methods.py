"""The manual methods: which kinds stand at which roles, without a search. No torch here."""

from dataclasses import dataclass

from peftsearch.space import CROSS_ROLES, LINEAR_ROLES, Role


@dataclass(frozen=True)
class Part:
    """A kind at some roles, in every layer or in the top ones.

    Args:
        kind: of every module.
        roles: sets of roles, from the widest to the narrowest: the first that a budget holds at rank 1 is taken, else
            the last. Roles that a model lacks are passed over. Empty for every role that the kind fits,
            cross-attention's linear maps excluded as in S2.
        share: of each stack's layers, counted from the top and rounded up, in (0, 1].
    """

    kind: str
    roles: tuple[frozenset[Role], ...] = ()
    share: float = 1.0


@dataclass(frozen=True)
class ManualMethod:
    """The parts of a manual method.

    Args:
        description: one line for `peftsearch list methods`.
        parts: in the order in which they get their share of a budget.
        rank: taken if the user gives neither a budget nor a rank; kinds without ranks ignore it.
    """

    description: str
    parts: tuple[Part, ...]
    rank: int = 8


# The fused map stands for all in it in models that have it.
_VALUE = frozenset({Role.VALUE, Role.QUERY_KEY_VALUE, Role.KEY_VALUE})
_QUERY_AND_VALUE = _VALUE | {Role.QUERY}
_OUTPUTS = frozenset({Role.ATTENTION_OUTPUT, Role.FFN_OUT})
_FFN_OUT = frozenset({Role.FFN_OUT})
_NORMS = Part("lnfit")

# By their name in METHODS.
MANUAL_METHODS = {
    "lora": ManualMethod("LoRA of one rank on linear maps", (Part("lora"),)),
    "uniform_lora": ManualMethod(
        "LoRA of one rank at the widest roles that the budget holds: the baseline of searches",
        (Part("lora", (LINEAR_ROLES - CROSS_ROLES, _QUERY_AND_VALUE, _VALUE)),),
    ),
    "lora_qv": ManualMethod("LoRA of one rank on queries and values", (Part("lora", (_QUERY_AND_VALUE,)),)),
    "lora_all": ManualMethod(
        "LoRA of one rank on all linear maps, cross-attention included", (Part("lora", (LINEAR_ROLES,)),)
    ),
    "lora_top": ManualMethod(
        "LoRA of one rank on queries and values, top half of the layers", (Part("lora", (_QUERY_AND_VALUE,), 0.5),)
    ),
    "lnfit_lora": ManualMethod("weights of norms, and LoRA on values", (_NORMS, Part("lora", (_VALUE,)))),
    "lnfit_lora_vo": ManualMethod(
        "weights of norms, and LoRA on values and attention output",
        (_NORMS, Part("lora", (_VALUE | {Role.ATTENTION_OUTPUT},))),
    ),
    "low_rank_adapter": ManualMethod("low-rank adapter after attention and FFN", (Part("low_rank_adapter"),)),
    "bitfit": ManualMethod("biases of linear maps and norms", (Part("bitfit"),)),
    "lnfit": ManualMethod("weights of norms", (_NORMS,)),
    "adapter": ManualMethod(
        "bottleneck adapter after attention and FFN (Houlsby et al. 2019)",
        (Part("serial_adapter", (_OUTPUTS,)),),
        rank=24,
    ),
    "serial_adapter": ManualMethod(
        "bottleneck adapter after the FFN", (Part("serial_adapter", (_FFN_OUT,)),), rank=24
    ),
    "parallel_adapter": ManualMethod(
        "bottleneck adapter beside the FFN", (Part("parallel_adapter", (_FFN_OUT,)),), rank=24
    ),
    "prefix": ManualMethod("trained keys and values in front of attention", (Part("prefix"),)),
    "ia3": ManualMethod("trained scales of keys, values and FFN", (Part("ia3"),)),
}
# The manual method that a search must beat.
UNIFORM_LORA = "uniform_lora"
