"""Manual configurations: one kind at chosen roles in every layer, with one rank."""

from collections.abc import Iterable, Sequence

from peftsearch.errors import BudgetError, ConfigurationError, UnknownNameError
from peftsearch.modules.kinds import num_parameters
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import CROSS_ROLES, Choice, Configuration, Role, Site

DEFAULT_RANK = 8
# Role sets of the uniform-LoRA baseline, from the widest to the narrowest; the first that fits the budget is taken.
BASELINE_ROLES: tuple[frozenset[Role], ...] = (
    frozenset(role for role in Role if not role.is_norm) - CROSS_ROLES,
    frozenset({Role.QUERY, Role.VALUE, Role.QUERY_KEY_VALUE}),
    frozenset({Role.VALUE}),
)


def parse_roles(text: str) -> frozenset[Role] | None:
    """Read "query,value"; None for an empty text.

    Raises:
        UnknownNameError: for a role that does not exist.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in set(Role):
            raise UnknownNameError("role", name, set(Role))
    return frozenset(map(Role, names)) or None


def uniform(kind: str, *, sites: Iterable[Site], rank: int, roles: frozenset[Role] | None = None) -> Configuration:
    """One kind with one rank at every site of the given roles.

    Args:
        roles: None for every role that the kind fits, cross-attention's linear maps excluded as in S2.

    Raises:
        ConfigurationError: if no site has one of the roles, or the kind does not fit one of them.
    """
    sites = list(sites)
    if roles is None:
        chosen = [site for site in sites if KINDS[kind].fits(site) and site.role not in CROSS_ROLES]
    else:
        chosen = [site for site in sites if site.role in roles]
        missing = roles - {site.role for site in chosen}
        if missing:
            there = ", ".join(sorted({site.role for site in sites}))
            raise ConfigurationError(f"The model has no role '{min(missing)}'. It has: {there}.")
    for site in chosen:
        num_parameters(kind, site, rank)
    return Configuration.of(Choice(site.name, kind, rank if KINDS[kind].ranked else 1) for site in chosen)


def cost(configuration: Configuration, sites: Iterable[Site]) -> int:
    """Parameters of a configuration on a model, task head excluded."""
    by_name = {site.name: site for site in sites}
    return sum(num_parameters(c.kind, by_name[c.site], c.rank) for c in configuration)


def largest_uniform(
    kind: str, *, sites: Sequence[Site], budget: int, roles: frozenset[Role] | None = None
) -> Configuration:
    """The uniform configuration with the largest rank that the budget holds.

    Raises:
        BudgetError: if not even rank 1 fits.
    """
    smallest = uniform(kind, sites=sites, rank=1, roles=roles)
    if cost(smallest, sites) > budget:
        raise BudgetError(
            f"Uniform {kind} needs at least {cost(smallest, sites):,} parameters, but the budget is {budget:,}. "
            "Raise the budget or give fewer --roles."
        )
    if not KINDS[kind].ranked:
        return smallest
    rank = 1
    while cost(uniform(kind, sites=sites, rank=rank + 1, roles=roles), sites) <= budget:
        rank += 1
    return uniform(kind, sites=sites, rank=rank, roles=roles)


def baseline_lora(sites: Sequence[Site], budget: int) -> Configuration | None:
    """The uniform LoRA that a search must beat: the widest role set that fits the budget, then the largest rank.

    Where not even the narrowest set fits in all layers, it is taken in as many of the top layers as fit.

    Returns:
        None if the budget holds no LoRA at all.
    """
    for roles in BASELINE_ROLES:
        roles = roles & {site.role for site in sites}
        if roles and cost(uniform("lora", sites=sites, rank=1, roles=roles), sites) <= budget:
            return largest_uniform("lora", sites=sites, budget=budget, roles=roles)
    return _top_layers(sites, budget)


def _top_layers(sites: Sequence[Site], budget: int) -> Configuration | None:
    roles = BASELINE_ROLES[-1] & {site.role for site in sites} or BASELINE_ROLES[1]
    candidates = sorted((s for s in sites if s.role in roles), key=lambda s: (s.layer, s.stack), reverse=True)
    for count in range(len(candidates), 0, -1):
        configuration = Configuration.of(Choice(site.name, "lora", 1) for site in candidates[:count])
        if cost(configuration, sites) <= budget:
            return configuration
    return None
