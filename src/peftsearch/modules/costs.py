"""The cost of modules, in trainable parameters."""

from collections.abc import Collection, Iterable

from peftsearch.errors import ConfigurationError
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Configuration, Preset, Site
from peftsearch.space.search_space import Cost


def num_parameters(kind: str, site: Site, rank: int) -> int:
    """Count the exact trainable parameters of a kind at a site.

    Args:
        kind: name of a module kind.
        site: the site it is attached to.
        rank: at least 1; 1 for kinds without ranks.

    Raises:
        UnknownNameError: for a kind that is not registered.
        ConfigurationError: for a kind that does not fit the site.
    """
    if not KINDS[kind].fits(site):
        fitting = ", ".join(name for name in KINDS if KINDS[name].fits(site))
        raise ConfigurationError(f"Kind '{kind}' does not fit the site '{site.name}'; what fits: {fitting}.")
    return KINDS[kind].num_parameters(site, rank)


def cost_at(kind: str, site: Site, rank: int) -> int | None:
    """Count as `num_parameters` does; None for a kind that does not fit the site, as `SearchSpace.build` asks."""
    return KINDS[kind].num_parameters(site, rank) if KINDS[kind].fits(site) else None


def cost_beside(quantised: Collection[str]) -> Cost:
    """Count as `cost_at` does, but leave out kinds that need float weights where the layer's are quantised.

    Args:
        quantised: paths of the sites with quantised weights.
    """

    def count(kind: str, site: Site, rank: int) -> int | None:
        is_left_out = site.path in quantised and KINDS[kind].needs_float_weight
        return None if is_left_out else cost_at(kind, site, rank)

    return count


def needs_float_note(preset: Preset, *, sites: Iterable[Site], quantised: Collection[str]) -> tuple[str, ...]:
    """Say in a sentence which kinds of a space are left out at quantised weights; no sentence for none.

    Args:
        preset: the space.
        sites: every site of the model.
        quantised: paths of the sites with quantised weights.
    """
    at = [site for site in sites if site.path in quantised]
    found = {
        kind: sum(preset.allows(kind, site) and cost_at(kind, site, 1) is not None for site in at)
        for kind in preset.roles
        if KINDS[kind].needs_float_weight
    }
    parts = [f"{kind} at {count} sites" for kind, count in found.items() if count]
    return (f"Kinds that need float weights are left out where those are quantised: {', '.join(parts)}.",) * bool(
        parts
    )


def cost(configuration: Configuration, sites: Iterable[Site]) -> int:
    """Count the parameters of a configuration on a model, task head excluded.

    Args:
        configuration: what is counted.
        sites: the model's, all that the configuration names among them.
    """
    by_name = {site.name: site for site in sites}
    return sum(num_parameters(c.kind, by_name[c.site], c.rank) for c in configuration)
