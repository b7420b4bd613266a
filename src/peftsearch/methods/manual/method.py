"""Manual configurations: the modules of a manual method on a model, at one rank or as large as a budget holds."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby

from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.methods.manual.manual_methods import MANUAL_METHODS, UNIFORM_LORA, ManualMethod, Part
from peftsearch.modules.costs import num_parameters
from peftsearch.modules.peft_module import KINDS
from peftsearch.names import split_names
from peftsearch.space import CROSS_ROLES, Choice, Configuration, Role, Site
from peftsearch.space.transfer import depths


def parse_roles(text: str) -> frozenset[Role] | None:
    """Read comma-separated roles such as "query,value"; None for an empty text.

    Raises:
        UnknownNameError: for a role that does not exist.
    """
    names = split_names(text)
    for name in names:
        if name not in set(Role):
            raise UnknownNameError("role", name, set(Role))
    return frozenset(map(Role, names)) or None


def sites_for(kind: str, sites: Sequence[Site], roles: frozenset[Role] | None) -> list[Site]:
    """Find the sites where a kind stands.

    Args:
        kind: name of a module kind.
        sites: of the model.
        roles: None for every role that the kind fits, cross-attention's linear maps excluded as in S2.

    Raises:
        ConfigurationError: if no site has one of the roles, or the kind does not fit one of them, or fits nowhere.
    """
    if roles is None:
        chosen = [site for site in sites if KINDS[kind].fits(site) and site.role not in CROSS_ROLES]
        if not chosen:
            raise ConfigurationError(f"Kind '{kind}' fits no site of this model. Choose another kind.")
        return chosen
    chosen = [site for site in sites if site.role in roles]
    missing = roles - {site.role for site in chosen}
    if missing:
        there = ", ".join(sorted({site.role for site in sites}))
        raise ConfigurationError(f"The model has no role '{min(missing)}'. It has: {there}.")
    for site in chosen:
        num_parameters(kind, site, 1)
    return chosen


def place(method: ManualMethod, sites: Sequence[Site], *, rank: int) -> Configuration:
    """Place every part of a manual method at its widest roles, whatever that costs.

    Args:
        method: is placed.
        sites: of the model.
        rank: of every module, at least 1; kinds without ranks ignore it.

    Raises:
        ConfigurationError: for a part that does not fit the model.
    """
    return _join(_at(_candidates(part, sites)[0], part.kind, rank) for part in method.parts)


def place_within(method: ManualMethod, sites: Sequence[Site], *, budget: int) -> Configuration:
    """Place as much of a manual method as a budget holds, part by part.

    A part gets the largest rank that fits everywhere. Where rank 1 does not, it is placed in as many of the top layers
    as fit; where not even one layer fits, at as many of the topmost sites; the next part gets what is left.

    Args:
        method: is placed.
        sites: of the model.
        budget: in parameters.

    Raises:
        BudgetError: if no single module fits.
        ConfigurationError: for a part that does not fit the model.
    """
    found, left = [], budget
    for part in method.parts:
        chosen, rank = _largest(part, sites, left)
        found.append(_at(chosen, part.kind, rank))
        left -= _cost_at(chosen, part.kind, rank)
    if not any(map(len, found)):
        parts = [(part.kind, site) for part in method.parts for site in _candidates(part, sites)[-1]]
        smallest, kind = min((num_parameters(kind, site, 1), kind) for kind, site in parts)
        raise BudgetError(
            f"The smallest {kind} module has {smallest:,} parameters, but the budget is {budget:,}. Raise the budget."
        )
    return _join(found)


def describe_left_out(method: ManualMethod, found: Configuration, sites: Sequence[Site]) -> str:
    """The parts that are not in all of their layers, in words; empty if all are.

    Args:
        method: was placed.
        found: where it was placed.
        sites: of the model.
    """
    return "; ".join(filter(None, (_left_out(part, found, sites) for part in method.parts)))


def baseline_lora(sites: Sequence[Site], budget: int) -> Configuration | None:
    """Find the uniform LoRA that a search must beat: at the widest role set within the budget, with the largest rank.

    Where not even the narrowest set fits in all layers, it is taken in as many of the top layers as fit.

    Args:
        sites: of the model.
        budget: in parameters.

    Returns:
        the configuration; None if the budget holds no LoRA module.
    """
    try:
        return place_within(MANUAL_METHODS[UNIFORM_LORA], sites, budget=budget)
    except BudgetError:
        return None


def _candidates(part: Part, sites: Sequence[Site]) -> list[list[Site]]:
    """Find the sites of each of a part's role sets, from the widest to the narrowest; never empty."""
    there, depth = {site.role for site in sites}, depths(sites)
    high = [site for site in sites if site.layer >= int(depth[site.stack] * (1 - part.share))]
    role_sets = [roles & there for roles in part.roles if roles & there] or part.roles[-1:] or [None]
    return [sites_for(part.kind, high, roles) for roles in role_sets]


def _largest(part: Part, sites: Sequence[Site], budget: int) -> tuple[list[Site], int]:
    """Find the sites and the rank at which a part uses a budget; no site if the budget holds none."""
    candidates = _candidates(part, sites)
    everywhere = next((chosen for chosen in candidates if _cost_at(chosen, part.kind, 1) <= budget), None)
    if everywhere is None:
        return _topmost(part.kind, candidates[-1], budget), 1
    return everywhere, _largest_rank(part.kind, everywhere, budget)


def _largest_rank(kind: str, sites: Sequence[Site], budget: int) -> int:
    if not KINDS[kind].ranked:
        return 1
    too_large = 2
    while _cost_at(sites, kind, too_large) <= budget:
        too_large *= 2
    ranks = range(too_large // 2, too_large)
    return ranks[bisect_right(ranks, budget, key=lambda rank: _cost_at(sites, kind, rank)) - 1]


def _topmost(kind: str, sites: Sequence[Site], budget: int) -> list[Site]:
    """Find the topmost sites that a budget holds at rank 1, whole layers if one fits; empty if no site fits."""
    falling = sorted(sites, key=_layer_of, reverse=True)
    layers = [list(layer) for _, layer in groupby(falling, key=_layer_of)]
    alone = [[site] for site in falling if num_parameters(kind, site, 1) <= budget]
    return _longest_start(kind, layers, budget) or _longest_start(kind, alone, budget)


def _layer_of(site: Site) -> tuple[int, str]:
    return site.layer, site.stack


def _longest_start(kind: str, groups: Sequence[list[Site]], budget: int) -> list[Site]:
    """Join the leading groups of sites that a budget holds at rank 1."""
    taken: list[Site] = []
    for group in groups:
        if _cost_at([*taken, *group], kind, 1) > budget:
            break
        taken += group
    return taken


def _left_out(part: Part, found: Configuration, sites: Sequence[Site]) -> str:
    everywhere = _candidates(part, sites)[-1]
    names = {choice.site for choice in found if choice.kind == part.kind}
    placed = [site for site in everywhere if site.name in names]
    if not placed:
        return f"no {part.kind} module was placed"
    if len(placed) == len(everywhere):
        return ""
    lowest = min(placed, key=lambda site: site.layer).name
    share = f"{len(placed)} of {len(everywhere)}"
    return f"{share} {part.kind} modules were placed, from the top layer down to '{lowest}'"


def _at(sites: Iterable[Site], kind: str, rank: int) -> Configuration:
    return Configuration.of(Choice(site.name, kind, rank if KINDS[kind].ranked else 1) for site in sites)


def _join(parts: Iterable[Configuration]) -> Configuration:
    return Configuration.of(choice for part in parts for choice in part)


def _cost_at(sites: Iterable[Site], kind: str, rank: int) -> int:
    return sum(num_parameters(kind, site, rank) for site in sites)
