"""Find the roles of an unknown architecture's modules by its structure, if that is unambiguous."""

from collections import Counter

from torch import nn
from transformers.pytorch_utils import Conv1D

from peftsearch.errors import SiteError
from peftsearch.models.family import Family, Stack
from peftsearch.space import Role

# Role -> the last part of a module's name, in the spellings of most models.
_LINEAR_NAMES = {
    Role.QUERY: {"q_proj", "query", "q", "q_lin", "wq", "query_proj"},
    Role.KEY: {"k_proj", "key", "k", "k_lin", "wk", "key_proj"},
    Role.VALUE: {"v_proj", "value", "v", "v_lin", "wv", "value_proj"},
    Role.QUERY_KEY_VALUE: {"query_key_value", "c_attn", "qkv_proj", "qkv", "Wqkv", "in_proj"},
    Role.ATTENTION_OUTPUT: {"o_proj", "out_proj", "o", "out_lin", "wo", "c_proj", "dense"},
    Role.FFN_GATE: {"gate_proj", "w1"},
    Role.FFN_IN: {"up_proj", "fc1", "fc_in", "c_fc", "lin1", "dense_h_to_4h", "w3"},
    Role.FFN_OUT: {"down_proj", "fc2", "fc_out", "lin2", "dense_4h_to_h", "w2"},
}
_NORM_NAMES = {
    Role.ATTENTION_NORM: {"input_layernorm", "self_attn_layer_norm", "ln_1", "attention_norm", "sa_layer_norm"},
    Role.FFN_NORM: {"post_attention_layernorm", "final_layer_norm", "ln_2", "ffn_norm", "output_layer_norm"},
}
_FINAL_NORM_NAMES = ("norm", "final_layer_norm", "final_layernorm", "ln_f", "layer_norm")
_REQUIRED = (Role.ATTENTION_OUTPUT, Role.FFN_IN, Role.FFN_OUT)


def guess_family(model: nn.Module) -> Family:
    """Make a family table from a model's blocks.

    Args:
        model: a model of a type that no family lists, on any device.

    Raises:
        SiteError: if a stack has not exactly one list of alike blocks, or a role is ambiguous.
    """
    stacks = tuple(_guess_stack(path, blocks, model) for path, blocks in _block_lists(model))
    names = [stack.name for stack in stacks]
    if not stacks or len(set(names)) != len(names):
        raise _unknown(model, f"lists of alike blocks with attention and feed-forward layers: found {len(stacks)}")
    has_fused_map = any(Role.QUERY_KEY_VALUE in stack.roles for stack in stacks)
    can_choose = getattr(type(model), "_can_set_attn_implementation", lambda: False)
    is_open = not has_fused_map and can_choose()
    return Family("structure", "read from the model's structure", (), stacks, attention_is_open=is_open)


def _block_lists(model: nn.Module) -> list[tuple[str, nn.ModuleList]]:
    return [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) > 0 and _is_block(module[0])
    ]


def _is_block(module: nn.Module) -> bool:
    linear = [m for m in module.modules() if isinstance(m, (nn.Linear, Conv1D))]
    return len(linear) >= 4 and not any(isinstance(m, nn.ModuleList) and len(m) > 1 for m in module.modules())


def _guess_stack(path: str, blocks: nn.ModuleList, model: nn.Module) -> Stack:
    first = _leaves(blocks[0])
    for i, block in enumerate(blocks):
        if _leaves(block).keys() != first.keys():
            raise _unknown(model, f"alike blocks in '{path}': block {i} differs from block 0")
    roles = {name: role for name in first if (role := _role_of(name, first[name])) is not None}
    twice = [role for role, count in Counter(roles.values()).items() if count > 1]
    missing = [role for role in _REQUIRED if role not in roles.values()]
    if twice or missing:
        raise _unknown(model, f"one module for each role in '{path}': ambiguous {twice}, missing {missing}")
    parent = path.rpartition(".")[0]
    prefix = f"{parent}." if parent else ""
    named = dict(model.named_modules())
    final = next((prefix + name for name in _FINAL_NORM_NAMES if _is_norm(named.get(prefix + name))), None)
    return Stack(
        name=_stack_name(path, model),
        layers=path + ".{layer}",
        roles={role: name for name, role in roles.items()},
        once={Role.FINAL_NORM: final} if final else {},
    )


def _leaves(block: nn.Module) -> dict[str, nn.Module]:
    """Find the linear maps and norms of a block, by name."""
    return {name: m for name, m in block.named_modules() if isinstance(m, (nn.Linear, Conv1D)) or _is_norm(m)}


def _is_norm(module: nn.Module | None) -> bool:
    return type(module).__name__.endswith("Norm") and getattr(module, "weight", None) is not None


def _role_of(name: str, module: nn.Module) -> Role | None:
    table = _NORM_NAMES if _is_norm(module) else _LINEAR_NAMES
    leaf = name.rpartition(".")[2]
    if leaf in ("dense", "c_proj") and "mlp" in name:
        return Role.FFN_OUT
    return next((role for role, names in table.items() if leaf in names), None)


def _stack_name(path: str, model: nn.Module) -> str:
    config = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        return "decoder" if "decoder" in path else "encoder"
    is_causal = any("CausalLM" in name for name in getattr(config, "architectures", None) or ())
    return "decoder" if "decoder" in path or is_causal or hasattr(config, "num_key_value_heads") else "encoder"


def _unknown(model: nn.Module, looked_for: str) -> SiteError:
    model_type = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    return SiteError(
        f"No family lists the model type '{model_type}', and its structure is ambiguous. Looked for {looked_for}. "
        f"Add a family: a file in models/families with one Family entry that lists '{model_type}'."
    )
