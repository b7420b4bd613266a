"""Find the roles of a model's modules by its structure: names, shapes and the order of modules in its blocks."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from peftsearch.errors import SiteError
from peftsearch.models.blocks import BlockList, is_map, stacks_of
from peftsearch.models.family import how_to_register
from peftsearch.models.layer_source import reads_weight_of
from peftsearch.models.role_names import (
    is_feed_forward,
    is_plain_norm,
    map_role,
    norm_role,
    part_norm,
)
from peftsearch.modules.peft_module import layer_widths
from peftsearch.space import Role

_FINAL_NORM_NAMES = (
    "norm",
    "final_layer_norm",
    "final_layernorm",
    "ln_f",
    "layer_norm",
    "layernorm",
    "final_norm",
    "ln",
    "norm_f",
    "ln_out",
    "output_layernorm",
    "post_layernorm",
    # LFM2's is the last one, whatever it is called.
    "embedding_norm",
)
# A norm of embeddings, or in them; LFM2's is no such one, and patches are of images.
_EMBEDDING_NORM = r"(?!embedding_norm$|patch)\w*embed\w*(\.\w+)?"
# Model type -> why no module in it can be trained.
_REFUSED = {
    "perceiver": "their task head is a part of the base model, which is frozen",
    "reformer": "their reversible layers pass on gradients only if the embeddings are trained, which are frozen",
}
# Maps named in a message.
_NAMED = 8
_NORMS_AFTER_FEED_FORWARD = ("post_feedforward_layernorm", "post_mlp_layernorm")


@dataclass(frozen=True)
class Place:
    """A module with a role in a stack.

    Args:
        stack: "encoder", "decoder", "vision" or "audio".
        layer: number of its block from 0; as in `Site` for norms before the first or after the last block.
        role: its function.
        path: its name in the model.
    """

    stack: str
    layer: int
    role: Role
    path: str


def read_structure(model: nn.Module) -> list[Place]:
    """Find the modules with a role in a model that no family lists.

    A block may lack roles that others have, as where blocks of two sorts alternate. What has no role is no place:
    `left_out` counts it.

    Args:
        model: on any device.

    Raises:
        SiteError: if no list of blocks has a linear map of a known role, or modules could not be trained there.
    """
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type in _REFUSED:
        raise SiteError(f"Models of the type '{model_type}' cannot be searched: {_REFUSED[model_type]}.")
    stacks = stacks_of(model)
    if not stacks:
        raise _unknown(model)
    return [place for name, lists in stacks.items() for place in _places_of(name, lists, model)]


def _places_of(stack: str, lists: list[BlockList], model: nn.Module) -> Iterator[Place]:
    layer = 0
    for beside in _beside_each_other(lists):
        for blocks in beside:
            for number, block in enumerate(blocks.blocks):
                for role, path in _roles_in(blocks.path, f"{blocks.path}.{number}", block).items():
                    yield Place(stack, layer + number, role, path)
        layer += max(len(blocks.blocks) for blocks in beside)
    first, last = lists[0], lists[-1]
    named = dict(model.named_modules())
    if (norm := _norm_before(first, named)) is not None:
        yield Place(stack, 0, Role.EMBEDDING_NORM, norm)
    if (norm := _norm_after(last, named)) is not None:
        yield Place(stack, layer, Role.FINAL_NORM, norm)


def _beside_each_other(lists: list[BlockList]) -> list[list[BlockList]]:
    """Join lists of one module that hold parts of the same blocks: attention in one, feed-forward in the other."""
    joined: list[list[BlockList]] = []
    for found in lists:
        before = joined[-1] if joined else []
        is_part = any(found.parent == other.parent for other in before)
        if is_part and not any(found.roles & other.roles for other in before):
            before.append(found)
        else:
            joined.append([found])
    return joined


def _roles_in(list_path: str, path: str, block: nn.Module) -> dict[Role, str]:
    """Find the roles of a block's modules; of several with one role the first in the block has it."""
    prefix = list_path.rpartition(".")[2]
    maps = {name: m for name, m in block.named_modules() if name and is_map(m) and not _is_passed_by(block, name)}
    roles: dict[Role, str] = {}
    for name in maps:
        role = map_role(f"{prefix}.{name}")
        if role is not None:
            roles.setdefault(role, name)
    roles = _by_shape(prefix, maps, roles)
    if Role.FFN_GATE in roles and Role.FFN_IN not in roles:
        roles[Role.FFN_IN] = roles.pop(Role.FFN_GATE)
    return {role: f"{path}.{name}" for role, name in (roles | _norms_in(prefix, block, roles)).items()}


def _is_passed_by(block: nn.Module, name: str) -> bool:
    owner, _, leaf = name.rpartition(".")
    return reads_weight_of(block.get_submodule(owner) if owner else block, leaf)


def _by_shape(prefix: str, maps: Mapping[str, nn.Module], roles: dict[Role, str]) -> dict[Role, str]:
    """Complete a feed-forward part whose maps have other names: one or two into its width, then one out of it."""
    if Role.FFN_IN in roles or Role.FFN_OUT in roles:
        return roles
    widths = {name: layer_widths(m) for name, m in maps.items() if is_feed_forward(f"{prefix}.{name}")}
    *into, out = list(widths) or [""]
    if len(into) not in (1, 2) or any(widths[name] != widths[out][::-1] for name in into):
        return roles
    return roles | dict(zip((Role.FFN_OUT, Role.FFN_IN, Role.FFN_GATE), (out, *reversed(into)), strict=False))


def _norms_in(prefix: str, block: nn.Module, roles: Mapping[Role, str]) -> dict[Role, str]:
    """Find the norms of a block, by their own names or by what stands in the same part of the block."""
    norms = {name: m for name, m in block.named_modules() if name and is_norm(m)}
    found: dict[Role, str] = {}
    for name in norms:
        role = norm_role(name)
        if role is not None:
            found.setdefault(role, name)
    for name in norms:
        if is_plain_norm(name):
            role = next((role for role in _parts_of(prefix, name, block) if role not in found), None)
            found |= {} if role is None else {role: name}
    return _after_their_parts(found, norms) if Role.ATTENTION_NORM not in found else found


def _after_their_parts(found: dict[Role, str], norms: Iterable[str]) -> dict[Role, str]:
    """Read blocks whose norms all follow their parts, as in OLMo 2, where the one after attention is attention's."""
    last = next((name for name in norms if name in _NORMS_AFTER_FEED_FORWARD), None)
    if last is None or found.get(Role.FFN_NORM) != "post_attention_layernorm":
        return found
    return found | {Role.ATTENTION_NORM: found[Role.FFN_NORM], Role.FFN_NORM: last}


def _parts_of(prefix: str, name: str, block: nn.Module) -> list[Role]:
    """Find the roles that a norm may have: of the part of the block that it lies in, else of those beside it."""
    owner = name.rpartition(".")[0]
    own = part_norm(f"{prefix}.{owner}") if owner else None
    if own is not None:
        return [own]
    part = block.get_submodule(owner) if owner else block
    beside = [f"{owner}.{child}" if owner else child for child, _ in part.named_children()]
    return [role for other in beside if other != name and (role := part_norm(f"{prefix}.{other}")) is not None]


def is_norm(module: nn.Module | None) -> bool:
    """Tell whether a module is a normalisation with a weight over the features."""
    name = type(module).__name__
    weight = getattr(module, "weight", None)
    return name.endswith("Norm") and "Batch" not in name and weight is not None and weight.dim() == 1


def _norm_before(blocks: BlockList, named: Mapping[str, nn.Module]) -> str | None:
    for parent in _parents(blocks):
        pattern = re.compile(re.escape(parent) + _EMBEDDING_NORM, re.IGNORECASE)
        norm = next((name for name in named if pattern.fullmatch(name) and is_norm(named[name])), None)
        if norm is not None:
            return norm
    return None


def _norm_after(blocks: BlockList, named: Mapping[str, nn.Module]) -> str | None:
    names = (parent + name for parent in _parents(blocks) for name in _FINAL_NORM_NAMES)
    return next((name for name in names if is_norm(named.get(name))), None)


def _parents(blocks: BlockList) -> list[str]:
    """Prefixes of names beside a list of blocks and beside the module that has it: "bert.encoder.", "bert."."""
    # Of a list in a list, beside the outer one.
    first = re.sub(r"(^|\.)\w+\.\d+$", "", blocks.parent)
    above = first.rpartition(".")[0]
    return [f"{first}." if first else "", *([f"{above}."] if above else [])]


def _unknown(model: nn.Module) -> SiteError:
    model_type = getattr(getattr(model, "config", None), "model_type", type(model).__name__)
    names = [name for name, module in model.named_modules() if is_map(module)]
    return SiteError(
        f"No family lists the model type '{model_type}', and no list of alike blocks with linear maps of known names "
        f"was found in it. Its linear maps: {', '.join(names[:_NAMED]) or 'none'}"
        f"{', ...' if len(names) > _NAMED else ''}. {how_to_register(model_type)}"
    )
