"""Find every site of a transformers model, on real or meta tensors."""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from peftsearch.errors import SiteError
from peftsearch.models.family import Family, Paths, Stack, family_of
from peftsearch.models.layer_source import calls_attention_interface
from peftsearch.models.structure import read_structure
from peftsearch.modules.peft_module import layer_widths
from peftsearch.space import Role, Site, prefix_width

_Modules = Mapping[str, nn.Module]


def find_sites(model: nn.Module) -> tuple[Site, ...]:
    """Find every site of a model.

    Args:
        model: a task model or a bare base model, without PEFT modules, on any device, meta included.

    Returns:
        the sites, sorted by stack, layer and role.

    Raises:
        SiteError: if a role matches some layers only, or the architecture is unknown and its structure ambiguous.

    Example:
        find_sites(load_model("demo", num_labels=2).model)
    """
    family = family_of(getattr(getattr(model, "config", None), "model_type", None))
    modules = dict(model.named_modules())
    if family is not None:
        sites = [site for stack in family.stacks for site in _sites_of_stack(family, stack, modules)]
        is_open = {site.path: family.attention_is_open for site in sites}
    else:
        sites = [_make_site(p.stack, p.layer, p.role, p.path, modules) for p in read_structure(model)]
        is_open = _open_attention(model, sites, modules)
    return tuple(sorted(_with_neighbours(sites, is_open)))


def _open_attention(model: nn.Module, sites: list[Site], modules: _Modules) -> dict[str, bool]:
    """Tell for each path whether it lies in an attention that can add prefixes, in a model without fused maps."""
    has_fused_map = any(site.role == Role.QUERY_KEY_VALUE for site in sites)
    can_choose = not has_fused_map and getattr(type(model), "_can_set_attn_implementation", lambda: False)()
    owners = {site.path: modules[site.path.rpartition(".")[0]] for site in sites}
    return {path: can_choose and calls_attention_interface(owner) for path, owner in owners.items()}


def _with_neighbours(sites: list[Site], is_open: Mapping[str, bool]) -> list[Site]:
    """Complete each site by others of its block: the layer that reads the block's input, and the width of the keys.

    Args:
        sites: as found alone.
        is_open: path of a site -> whether its attention can add prefixes.
    """
    by_place = {(site.stack, site.layer, site.role): site for site in sites}
    found = []
    for site in sites:
        near = {role: by_place.get((site.stack, site.layer, role)) for role in (Role.FFN_IN, Role.KEY)}
        first = near[Role.FFN_IN]
        if site.role == Role.FFN_OUT and first is not None and first.in_width == site.out_width:
            site = replace(site, input_path=first.path)
        key = near[Role.KEY] or site
        if is_open[site.path] and key.out_width == site.out_width:
            site = replace(site, prefix_width=prefix_width(site.role, site.out_width))
        found.append(site)
    return found


def _sites_of_stack(family: Family, stack: Stack, modules: _Modules) -> list[Site]:
    root, num_layers = _locate(family, stack, modules)
    sites = []
    for role, paths in stack.roles.items():
        sites += _sites_of_role(stack, role, paths, root=root, num_layers=num_layers, modules=modules)
    for role, paths in stack.once.items():
        path = _first_present(paths, root, modules)
        if path is not None:
            sites.append(_make_site(stack.name, num_layers if role == Role.FINAL_NORM else 0, role, path, modules))
    return sites


def _locate(family: Family, stack: Stack, modules: _Modules) -> tuple[str, int]:
    """Find the prefix of the names of a stack's blocks, such as "bert.", and the number of blocks."""
    pattern = re.compile(r"(?P<root>(?:.*\.)?)" + re.escape(stack.layers).replace(r"\{layer\}", r"(?P<layer>\d+)"))
    matches = [match for match in map(pattern.fullmatch, modules) if match]
    if not matches:
        raise SiteError(
            f"No blocks named '{stack.layers}' were found for the {stack.name} of the family '{family.name}', though "
            f"it lists the model's type. Correct the table of the family '{family.name}': `layers` is the name of a "
            "block below the model's root (docs/extend.md)."
        )
    root = min((match["root"] for match in matches), key=len)
    return root, sum(match["root"] == root for match in matches)


def _sites_of_role(
    stack: Stack, role: Role, paths: Paths, *, root: str, num_layers: int, modules: _Modules
) -> list[Site]:
    found = {}
    for layer in range(num_layers):
        block = f"{root}{stack.layers.format(layer=layer)}."
        path = _first_present(paths, block, modules)
        if path is not None:
            found[layer] = path
    if not found and role in stack.optional:
        return []
    missing = [layer for layer in range(num_layers) if layer not in found]
    if missing:
        raise SiteError(
            f"The role '{role}' of the {stack.name} was looked for as {_quoted(paths)} below "
            f"'{root}{stack.layers}' and is missing in layers {missing} (found in {sorted(found)}). A role must be "
            "in every layer: correct the names in the family's table (docs/extend.md)."
        )
    return [_make_site(stack.name, layer, role, path, modules) for layer, path in found.items()]


def _first_present(paths: Paths, prefix: str, modules: _Modules) -> str | None:
    names = (paths,) if isinstance(paths, str) else paths
    return next((prefix + name for name in names if prefix + name in modules), None)


def _quoted(paths: Paths) -> str:
    return " or ".join(f"'{path}'" for path in ((paths,) if isinstance(paths, str) else paths))


def _make_site(stack: str, layer: int, role: Role, path: str, modules: _Modules) -> Site:
    module = modules[path]
    has_bias = getattr(module, "bias", None) is not None
    return Site(stack, layer, role, path, *layer_widths(module), has_bias=has_bias)
