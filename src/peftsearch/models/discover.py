"""Find every site of a transformers model, on real or meta tensors."""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from peftsearch.errors import SiteError
from peftsearch.models.family import Family, Paths, Stack, family_of
from peftsearch.models.structure import guess_family
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
    family = family_of(getattr(getattr(model, "config", None), "model_type", None)) or guess_family(model)
    modules = dict(model.named_modules())
    sites = [site for stack in family.stacks for site in _sites_of_stack(family, stack, modules)]
    return tuple(sorted(_with_neighbours(family, sites)))


def _with_neighbours(family: Family, sites: list[Site]) -> list[Site]:
    """Complete each site by others of its block: the layer that reads the block's input, and the width of the keys."""
    by_place = {(site.stack, site.layer, site.role): site for site in sites}
    found = []
    for site in sites:
        near = {role: by_place.get((site.stack, site.layer, role)) for role in (Role.FFN_IN, Role.KEY)}
        first = near[Role.FFN_IN]
        if site.role == Role.FFN_OUT and first is not None and first.in_width == site.out_width:
            site = replace(site, input_path=first.path)
        key = near[Role.KEY] or site
        if family.attention_is_open and key.out_width == site.out_width:
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
            sites.append(_make_site(stack, num_layers if role == Role.FINAL_NORM else 0, role, path, modules))
    return sites


def _locate(family: Family, stack: Stack, modules: _Modules) -> tuple[str, int]:
    """Find the prefix of the names of a stack's blocks, such as "bert.", and the number of blocks."""
    pattern = re.compile(r"(?P<root>(?:.*\.)?)" + re.escape(stack.layers).replace(r"\{layer\}", r"(?P<layer>\d+)"))
    matches = [match for match in map(pattern.fullmatch, modules) if match]
    if not matches:
        raise SiteError(
            f"No blocks named '{stack.layers}' were found for the {stack.name} of the family '{family.name}'. "
            "If the model follows other names, add a family: a file in models/families with one Family entry."
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
            "in every layer: correct the family's table in models/families or add a family for this model."
        )
    return [_make_site(stack, layer, role, path, modules) for layer, path in found.items()]


def _first_present(paths: Paths, prefix: str, modules: _Modules) -> str | None:
    names = (paths,) if isinstance(paths, str) else paths
    return next((prefix + name for name in names if prefix + name in modules), None)


def _quoted(paths: Paths) -> str:
    return " or ".join(f"'{path}'" for path in ((paths,) if isinstance(paths, str) else paths))


def _make_site(stack: Stack, layer: int, role: Role, path: str, modules: _Modules) -> Site:
    module = modules[path]
    has_bias = getattr(module, "bias", None) is not None
    return Site(stack.name, layer, role, path, *layer_widths(module), has_bias=has_bias)
