"""Manual configurations: one kind with one rank, at the same roles in every layer."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.modules.costs import cost, num_parameters
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import CROSS_ROLES, Choice, Configuration, Role, Site


@dataclass(frozen=True)
class ManualMethod:
    """The kind, the roles and the rank of a manual method.

    Args:
        kind: of every module.
        roles: roles of the sites; None for every role that the kind fits.
        rank: taken if the user gives neither a budget nor a rank; kinds without ranks ignore it.
    """

    kind: str
    roles: frozenset[Role] | None = None
    rank: int = 8


# Methods that place one kind, by their name in METHODS.
MANUAL_METHODS = {
    "lora": ManualMethod("lora"),
    "low_rank_adapter": ManualMethod("low_rank_adapter"),
    "bitfit": ManualMethod("bitfit"),
    "lnfit": ManualMethod("lnfit"),
    "adapter": ManualMethod("serial_adapter", frozenset({Role.ATTENTION_OUTPUT, Role.FFN_OUT}), rank=24),
    "serial_adapter": ManualMethod("serial_adapter", frozenset({Role.FFN_OUT}), rank=24),
    "parallel_adapter": ManualMethod("parallel_adapter", frozenset({Role.FFN_OUT}), rank=24),
    "prefix": ManualMethod("prefix"),
    "ia3": ManualMethod("ia3"),
}
# Role sets of the uniform-LoRA baseline, from the widest to the narrowest; the first that fits the budget is taken.
BASELINE_ROLES: tuple[frozenset[Role], ...] = (
    frozenset(role for role in Role if not role.is_norm) - CROSS_ROLES,
    frozenset({Role.QUERY, Role.VALUE, Role.QUERY_KEY_VALUE}),
    frozenset({Role.VALUE}),
)


def parse_roles(text: str) -> frozenset[Role] | None:
    """Read comma-separated roles such as "query,value"; None for an empty text.

    Raises:
        UnknownNameError: for a role that does not exist.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in set(Role):
            raise UnknownNameError("role", name, set(Role))
    return frozenset(map(Role, names)) or None


def uniform(kind: str, *, sites: Iterable[Site], rank: int, roles: frozenset[Role] | None = None) -> Configuration:
    """Place one kind with one rank at every site of the given roles.

    Args:
        kind: name of a module kind.
        sites: of the model.
        rank: at least 1; kinds without ranks ignore it.
        roles: None for every role that the kind fits, cross-attention's linear maps excluded as in S2.

    Raises:
        ConfigurationError: if no site has one of the roles, or the kind does not fit one of them, or fits nowhere.
    """
    return _at(sites_for(kind, list(sites), roles), kind, rank)


def sites_for(kind: str, sites: Sequence[Site], roles: frozenset[Role] | None) -> list[Site]:
    """Find the sites where `uniform` places a kind; arguments and errors as there."""
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


def _at(sites: Iterable[Site], kind: str, rank: int) -> Configuration:
    return Configuration.of(Choice(site.name, kind, rank if KINDS[kind].ranked else 1) for site in sites)


def largest_uniform(
    kind: str, *, sites: Sequence[Site], budget: int, roles: frozenset[Role] | None = None
) -> Configuration:
    """Find the uniform configuration with the largest rank within a budget; arguments as in `uniform`.

    Raises:
        BudgetError: if not even rank 1 fits.
        ConfigurationError: as in `uniform`.
    """
    chosen = sites_for(kind, sites, roles)
    if _cost_at(chosen, kind, 1) > budget:
        raise BudgetError(
            f"Uniform {kind} needs at least {_cost_at(chosen, kind, 1):,} parameters, but the budget is {budget:,}. "
            "Raise the budget or give fewer --roles."
        )
    if not KINDS[kind].ranked:
        return _at(chosen, kind, 1)
    too_large = 2
    while _cost_at(chosen, kind, too_large) <= budget:
        too_large *= 2
    ranks = range(too_large // 2, too_large)
    rank = ranks[bisect_right(ranks, budget, key=lambda rank: _cost_at(chosen, kind, rank)) - 1]
    return _at(chosen, kind, rank)


def largest_within(
    kind: str, *, sites: Sequence[Site], budget: int, roles: frozenset[Role] | None = None
) -> Configuration:
    """Find the largest uniform configuration within a budget, in fewer layers if necessary.

    Where rank 1 does not fit in every layer, rank 1 is placed in as many of the top layers as fit; where not even one
    layer fits, at as many of the topmost sites. Arguments as in `uniform`.

    Raises:
        BudgetError: if no single module fits.
        ConfigurationError: as in `uniform`.
    """
    chosen = sites_for(kind, sites, roles)
    if _cost_at(chosen, kind, 1) <= budget:
        return largest_uniform(kind, sites=sites, budget=budget, roles=roles)
    topmost = _topmost(kind, chosen, budget)
    if not topmost:
        smallest = min(num_parameters(kind, site, 1) for site in chosen)
        raise BudgetError(
            f"The smallest {kind} module has {smallest:,} parameters, but the budget is {budget:,}. Raise the budget."
        )
    return _at(topmost, kind, 1)


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


def _cost_at(sites: Iterable[Site], kind: str, rank: int) -> int:
    return sum(num_parameters(kind, site, rank) for site in sites)


def baseline_lora(sites: Sequence[Site], budget: int) -> Configuration | None:
    """Find the uniform LoRA that a search must beat: at the widest role set within the budget, with the largest rank.

    Where not even the narrowest set fits in all layers, it is taken in as many of the top layers as fit.

    Args:
        sites: of the model.
        budget: in parameters.

    Returns:
        the configuration; None if the budget holds no LoRA module.
    """
    for roles in BASELINE_ROLES:
        roles = roles & {site.role for site in sites}
        if roles and cost(uniform("lora", sites=sites, rank=1, roles=roles), sites) <= budget:
            return largest_uniform("lora", sites=sites, budget=budget, roles=roles)
    narrowest = BASELINE_ROLES[-1] & {site.role for site in sites} or BASELINE_ROLES[1]
    return _at(_topmost("lora", [site for site in sites if site.role in narrowest], budget), "lora", 1) or None
