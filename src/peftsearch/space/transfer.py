"""Transfer of configurations between models of different depths."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from peftsearch.errors import ConfigurationError
from peftsearch.space.configuration import Choice, Configuration
from peftsearch.space.site import ONCE_PER_STACK, Site


def depths(sites: Iterable[Site]) -> dict[str, int]:
    """Count the layers of each stack."""
    found: dict[str, int] = {}
    for site in sites:
        if site.role not in ONCE_PER_STACK:
            found[site.stack] = max(found.get(site.stack, 0), site.layer + 1)
    return found


def transfer(
    configuration: Configuration, source_depths: Mapping[str, int], target_sites: Iterable[Site]
) -> Configuration:
    """Give each layer of the target model the choices of the source model's layer at the same relative height.

    Layer t of L takes those of layer floor((t + 0.5) * source depth / L); sites that occur once in a stack keep
    theirs. At equal depths nothing changes. The number of parameters may change: check the budget afterwards.

    Args:
        configuration: a configuration of the source model.
        source_depths: stack -> number of layers of the source model.
        target_sites: every site of the target model.

    Raises:
        ConfigurationError: if the target lacks a site, or a choice is above the source's depth.
    """
    target_sites = list(target_sites)
    target_depths = depths(target_sites)
    choices: list[Choice] = []
    for choice in configuration:
        layers = _layers_of(choice, source_depths, target_depths)
        choices += [replace(choice, site=_moved(choice.site, layer)) for layer in layers]
    transferred = Configuration.of(choices)
    require_sites(transferred, target_sites)
    return transferred


def require_sites(configuration: Configuration, sites: Iterable[Site]) -> None:
    """Refuse a configuration with choices at sites that a model lacks.

    Args:
        configuration: the configuration.
        sites: every site of the model.

    Raises:
        ConfigurationError: naming the first such site and the sites that the model has.
    """
    sites = list(sites)
    names = {site.name for site in sites}
    missing = sorted(choice for choice in configuration if choice.site not in names)
    if missing:
        choice = missing[0]
        raise ConfigurationError(
            f"The configuration places {choice.kind} at '{choice.site}', which this model does not have. "
            f"{_sites_there(choice.site, sites)} Give the folder of the run that found it, from which another depth "
            "is known, take the choice out, or search on this model."
        )


def _layers_of(choice: Choice, source: Mapping[str, int], target: Mapping[str, int]) -> list[int | None]:
    """List the target's layers that get a choice; None stands for a site that occurs once in its stack."""
    stack, layer = _stack_and_layer(choice.site)
    if layer is None:
        return [None]
    if layer >= source.get(stack, 0):
        raise ConfigurationError(
            f"The configuration has a choice at '{choice.site}', but its own model has {source.get(stack, 0)} layers "
            f"in its {stack}. Check that configuration.json and sites.json are of the same run."
        )
    if stack not in target:
        return [layer]
    count = target[stack]
    # (2 t + 1) * source // (2 L) is floor((t + 0.5) * source / L) without rounding errors.
    return [t for t in range(count) if (2 * t + 1) * source[stack] // (2 * count) == layer]


def _stack_and_layer(name: str) -> tuple[str, int | None]:
    parts = name.split(".")
    return parts[0], int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else None


def _moved(name: str, layer: int | None) -> str:
    if layer is None:
        return name
    stack, _, role = name.split(".")
    return f"{stack}.{layer}.{role}"


def _sites_there(name: str, sites: list[Site]) -> str:
    stack = _stack_and_layer(name)[0]
    roles = sorted({site.role for site in sites if site.stack == stack})
    if not roles:
        return f"It has no {stack}, but: {', '.join(sorted({site.stack for site in sites}))}."
    return f"Its {stack} has {depths(sites).get(stack, 0)} layers with the roles {', '.join(roles)}."
