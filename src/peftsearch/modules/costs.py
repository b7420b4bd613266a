"""The cost of modules, in trainable parameters."""

from collections.abc import Iterable

from peftsearch.errors import ConfigurationError
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Configuration, Site


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


def cost(configuration: Configuration, sites: Iterable[Site]) -> int:
    """Count the parameters of a configuration on a model, task head excluded.

    Args:
        configuration: what is counted.
        sites: the model's, all that the configuration names among them.
    """
    by_name = {site.name: site for site in sites}
    return sum(num_parameters(c.kind, by_name[c.site], c.rank) for c in configuration)
