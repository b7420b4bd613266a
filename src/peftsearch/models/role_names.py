"""Roles of linear maps and norms by the names that models give them, such as "attention.output.dense"."""

from peftsearch.space import Role

# Parts of a block without a place for modules: choices between experts, gates beside the maps, adapters of its own.
_NO_PLACE = ("router", "indexer", "compressor", "adapter", "forget_gate", "bottleneck", "hyper", "moe_gate")
_CROSS = ("cross", "encdec", "encoder_attn", "encoder_attention")
_ATTENTION = ("attn", "attention", "self_att_")
_MIXER = {"mamba", "mixer", "conv", "ssm", "temporal_block", "recurrent_block", "mlstm_layer"}
_FEED_FORWARD = ("mlp", "ffn", "ff", "feed_forward", "densereludense", "intermediate", "output", "shared_expert")
# The last part of a name in lower case -> its role, in the spellings of most models.
_ATTENTION_MAPS = {
    Role.QUERY: "q_proj query q q_lin wq query_proj project_q q_head to_q linear_q q_b_proj receptance",
    Role.QUERY_DOWN: "q_a_proj",
    Role.KEY: "k_proj key k k_lin wk key_proj project_k k_head to_k linear_k",
    Role.VALUE: "v_proj value v v_lin wv value_proj project_v v_head to_v linear_v",
    Role.KEY_VALUE: "kv_b_proj kv_proj to_kv kv",
    Role.KEY_VALUE_DOWN: "kv_a_proj_with_mqa kv_a_proj",
    Role.QUERY_KEY_VALUE: "query_key_value c_attn qkv_proj qkv wqkv in_proj in_proj_qkv in_proj_qkvz",
    Role.ATTENTION_OUTPUT: "o_proj out_proj o out_lin wo c_proj dense proj attention_out post_proj to_out output "
    "o_b_proj projection linear_out",
}
_FEED_FORWARD_MAPS = {
    Role.FFN_GATE: "gate_proj w1 wi_0 w_0 proj_up_gate",
    Role.FFN_IN: "up_proj fc1 fc_in c_fc lin1 dense_h_to_4h w3 wi wi_1 w_1 gate_up_proj linear_fc1 linear1 linear_1 "
    "layer_1 dense1 intermediate intermediate_dense input_linear proj_up ffn",
    Role.FFN_OUT: "down_proj fc2 fc_out lin2 dense_4h_to_h w2 wo w_out c_proj linear_fc2 linear2 linear_2 layer_2 "
    "dense2 output output_dense output_linear proj_down ffn_output dense",
}
_MIXER_MAPS = {Role.MIXER_IN: "in_proj linear_x", Role.MIXER_OUT: "out_proj linear_out"}
_TO_CROSS = {
    Role.QUERY: Role.CROSS_QUERY,
    Role.KEY: Role.CROSS_KEY,
    Role.VALUE: Role.CROSS_VALUE,
    Role.ATTENTION_OUTPUT: Role.CROSS_OUTPUT,
    Role.ATTENTION_NORM: Role.CROSS_NORM,
}
# Names of norms that tell their role by themselves. The norm after attention stands before the feed-forward block.
_NORMS = {
    Role.ATTENTION_NORM: "input_layernorm self_attn_layer_norm ln_1 ln1 attention_norm attention_layernorm attn_norm "
    "sa_layer_norm norm1 norm_1 layer_norm1 layernorm1 layernorm_before layernorm_before_attention "
    "pre_self_attn_layernorm temporal_pre_norm operator_norm norm_mlstm",
    Role.CROSS_NORM: "encoder_attn_layer_norm cross_attn_layer_norm cross_attention_layer_norm "
    "pre_cross_attn_layernorm",
    Role.FFN_NORM: "post_attention_layernorm final_layer_norm ln_2 ln2 ffn_norm output_layer_norm mlp_norm norm2 "
    "norm_2 layer_norm2 layernorm2 layernorm_after layernorm_before_ffn feedforward_layernorm ff_layer_norm "
    "ffn_layer_norm feed_forward_layer_norm pre_ff_layernorm channel_pre_norm norm_ffn full_layer_layer_norm "
    "pre_feedforward_layernorm pre_mlp_layernorm",
}
_PLAIN_NORMS = {"norm", "layernorm", "layer_norm", "ln"}


def _by_name(table: dict[Role, str]) -> dict[str, Role]:
    return {name: role for role, names in table.items() for name in names.split()}


_ATTENTION_ROLES, _FEED_FORWARD_ROLES = _by_name(_ATTENTION_MAPS), _by_name(_FEED_FORWARD_MAPS)
_MIXER_ROLES, _NORM_ROLES = _by_name(_MIXER_MAPS), _by_name(_NORMS)
_UNCLEAR = ("c_proj", "wo", "output", "dense", "proj", "projection")
_ANYWHERE = {**_ATTENTION_ROLES, **_FEED_FORWARD_ROLES}
_ANYWHERE = {name: role for name, role in _ANYWHERE.items() if name not in _UNCLEAR}


def is_expert(name: str) -> bool:
    """Tell whether a module or parameter belongs to the experts between which a router chooses.

    Args:
        name: its name in the model, such as "layers.0.mlp.experts.gate_up_proj". An expert that all tokens pass
            ("shared_experts") is none of them.
    """
    return any("expert" in part and "shared" not in part and "gate" not in part for part in name.lower().split("."))


def map_role(name: str) -> Role | None:
    """Find the role of a linear map in its block; None if the name tells none.

    Args:
        name: below the block, after the name of the list of blocks: "layer.attention.output.dense".
    """
    *parts, leaf = name.lower().split(".")
    if leaf in ("linear", "layer") and parts:
        leaf = parts.pop()
    is_in_norm = any("norm" in part and not _any(_ATTENTION, [part]) for part in parts)
    if is_expert(name) or is_in_norm or _any(_NO_PLACE, parts):
        return None
    if _any(_CROSS, parts):
        return _TO_CROSS.get(_ATTENTION_ROLES.get(leaf, Role.FFN_IN))
    if _any(_ATTENTION, parts):
        return _ATTENTION_ROLES.get(leaf)
    if _MIXER & set(parts):
        return {**_ANYWHERE, **_MIXER_ROLES}.get(leaf)
    if is_feed_forward(name):
        is_first = leaf == "dense" and any(part.startswith("intermediate") for part in parts)
        return Role.FFN_IN if is_first else _FEED_FORWARD_ROLES.get(leaf)
    return {**_ANYWHERE, "ffn_output": Role.FFN_OUT}.get(leaf)


def is_feed_forward(name: str) -> bool:
    """Tell whether a module lies in the feed-forward part of a block by its name; arguments as for `map_role`."""
    *parts, _ = name.lower().split(".")
    return not _any(_ATTENTION, parts) and any(
        part.startswith(_FEED_FORWARD) or "mlp" in part or "expert" in part for part in parts
    )


def norm_role(name: str) -> Role | None:
    """Find the role of a norm by a name that tells it; arguments as for `map_role`."""
    return _NORM_ROLES.get(name.lower().rpartition(".")[2])


def is_plain_norm(name: str) -> bool:
    """Tell whether a norm's own name says nothing of its role, so that what stands beside it decides."""
    return name.lower().rpartition(".")[2] in _PLAIN_NORMS


def part_norm(name: str) -> Role | None:
    """Find the role of a norm in or beside this part of a block; arguments as for `map_role`."""
    parts = name.lower().split(".")
    if _any(_CROSS, parts):
        return Role.CROSS_NORM
    if _any(_ATTENTION, parts) or _MIXER & set(parts):
        return Role.ATTENTION_NORM
    return Role.FFN_NORM if is_feed_forward(f"{name}.") else None


def _any(words: tuple[str, ...], parts: list[str]) -> bool:
    return any(word in f"{part}_" for word in words for part in parts)
