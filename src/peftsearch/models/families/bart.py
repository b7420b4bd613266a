"""BART and mBART."""

from peftsearch.models.family import Family, Stack, register_family
from peftsearch.space import Role


def _attention(name: str) -> tuple[str, str, str, str]:
    return f"{name}.q_proj", f"{name}.k_proj", f"{name}.v_proj", f"{name}.out_proj"


_SELF_ROLES = (Role.QUERY, Role.KEY, Role.VALUE, Role.ATTENTION_OUTPUT)
_CROSS_ROLES = (Role.CROSS_QUERY, Role.CROSS_KEY, Role.CROSS_VALUE, Role.CROSS_OUTPUT)
_SELF = dict(zip(_SELF_ROLES, _attention("self_attn"))) | {
    Role.ATTENTION_NORM: "self_attn_layer_norm",
    Role.FFN_IN: "fc1",
    Role.FFN_OUT: "fc2",
    Role.FFN_NORM: "final_layer_norm",
}
_CROSS = dict(zip(_CROSS_ROLES, _attention("encoder_attn"))) | {Role.CROSS_NORM: "encoder_attn_layer_norm"}


def _stack(name: str, roles: dict[Role, str]) -> Stack:
    once = {Role.EMBEDDING_NORM: f"{name}.layernorm_embedding", Role.FINAL_NORM: f"{name}.layer_norm"}
    return Stack(name=name, layers=f"{name}.layers.{{layer}}", roles=roles, once=once)


register_family(
    Family(
        name="bart",
        description="BART, mBART",
        model_types=("bart", "mbart"),
        stacks=(_stack("encoder", _SELF), _stack("decoder", _SELF | _CROSS)),
    )
)
