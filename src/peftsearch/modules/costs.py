"""What modules cost at a site, in trainable parameters."""

from peftsearch.errors import ConfigurationError
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Site


def num_parameters(kind: str, site: Site, rank: int) -> int:
    """Exact trainable parameters of a kind at a site.

    Raises:
        UnknownNameError: for a kind that is not registered.
        ConfigurationError: for a kind that does not fit the site.
    """
    if not KINDS[kind].fits(site):
        fitting = ", ".join(name for name in KINDS if KINDS[name].fits(site))
        raise ConfigurationError(f"Kind '{kind}' does not fit the site '{site.name}'; what fits: {fitting}.")
    return KINDS[kind].num_parameters(site, rank)


def cost_at(kind: str, site: Site, rank: int) -> int | None:
    """As `num_parameters`, but None for a kind that does not fit the site: what `SearchSpace.build` asks."""
    return KINDS[kind].num_parameters(site, rank) if KINDS[kind].fits(site) else None
