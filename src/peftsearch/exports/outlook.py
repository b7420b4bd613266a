"""Tell from modules and sites alone, before a run, what its result can be exported as."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from peftsearch.exports.export_format import FORMATS
from peftsearch.modules.peft_module import KINDS
from peftsearch.space import Configuration, Site


@dataclass(frozen=True)
class Outlook:
    """Which modules of a set prevent an export.

    Args:
        claim: words of the format, such as "plain LoRA".
        obstacles: kinds that prevent it, sorted; followed by "at some layers" where that depends on the layer.
        is_possible: whether some module does not prevent it, or there is none.
    """

    claim: str
    obstacles: tuple[str, ...]
    is_possible: bool


# What stands for trained rows of tokens among the kinds that prevent an export.
_ROWS = "rows of added tokens"


def find_outlooks(
    modules: Configuration, sites: Iterable[Site], quantised: Collection[str] = (), *, trains_rows: bool = False
) -> dict[str, Outlook]:
    """Ask every kind whether it prevents an export, on layers without weights.

    Args:
        modules: a configuration, or all that a space may hold.
        sites: the model's, all that the modules name among them.
        quantised: paths of the sites whose weights are quantised on disk.
        trains_rows: whether rows of tokens are trained beside the modules.

    Returns:
        format -> its outlook, for the formats with a claim.
    """
    by_name = {site.name: site for site in sites}
    claims = {name: claim for name in FORMATS if (claim := FORMATS[name].claim)}
    prevented: dict[str, dict[str, set[bool]]] = {name: {} for name in claims}
    with torch.device("meta"):
        for choice in modules:
            site = by_name[choice.site]
            base_layer = _bare_layer(site)
            if site.path in quantised:
                base_layer.weight = nn.Parameter(base_layer.weight.to(torch.int8), requires_grad=False)
            module = KINDS[choice.kind].build(base_layer, choice.rank, site.role)
            for name, claim in claims.items():
                prevented[name].setdefault(choice.kind, set()).add(claim.why_not(module, base_layer) is not None)
    return {
        name: Outlook(claim.words, (_ROWS,), is_possible=False)
        if trains_rows and not claim.holds_rows
        else _outlook(claim.words, prevented[name])
        for name, claim in claims.items()
    }


def _bare_layer(site: Site) -> nn.Linear | nn.LayerNorm:
    """Make a layer like a site's, as far as merging asks: a linear map or a norm, with or without a bias."""
    if site.role.is_norm:
        return nn.LayerNorm(site.out_width, bias=site.has_bias)
    return nn.Linear(site.in_width, site.out_width, bias=site.has_bias)


def _outlook(claim: str, prevented: Mapping[str, set[bool]]) -> Outlook:
    obstacles = tuple(
        kind if answers == {True} else f"{kind} at some layers"
        for kind, answers in sorted(prevented.items())
        if True in answers
    )
    return Outlook(claim, obstacles, not prevented or any(False in answers for answers in prevented.values()))


def describe_space(
    largest: Configuration, sites: Iterable[Site], quantised: Collection[str] = (), *, trains_rows: bool = False
) -> str:
    """Say what results of a search are whatever it finds, and what keeps others from it.

    Args:
        largest: every placement of the space.
        sites: the model's.
        quantised: as in `find_outlooks`.
        trains_rows: as in `find_outlooks`.

    Returns:
        words after "The result is", such as "always plain LoRA; servable unless it holds bitfit or lnfit".
    """
    outlooks = find_outlooks(largest, sites, quantised, trains_rows=trains_rows).values()
    always = [outlook.claim for outlook in outlooks if not outlook.obstacles]
    never = [outlook.claim for outlook in outlooks if not outlook.is_possible]
    parts = [f"always {_listed(always, 'and')}"] if always else []
    for obstacles, claims in _by_obstacles(o for o in outlooks if o.is_possible).items():
        parts.append(f"{_listed(claims, 'and')} unless it holds {_listed(obstacles, 'or')}")
    return "; ".join([*parts, f"never {_listed(never, 'or')}"] if never else parts)


def describe_configuration(
    configuration: Configuration, sites: Iterable[Site], quantised: Collection[str] = (), *, trains_rows: bool = False
) -> str:
    """Say what a configuration is, and which of its kinds keep it from being more.

    Args:
        configuration: what is trained.
        sites: the model's.
        quantised: as in `find_outlooks`.
        trains_rows: as in `find_outlooks`.

    Returns:
        words after "The result is", such as "plain LoRA; not servable, because of bitfit and lnfit".
    """
    outlooks = find_outlooks(configuration, sites, quantised, trains_rows=trains_rows).values()
    held = [outlook.claim for outlook in outlooks if not outlook.obstacles]
    parts = [_listed(held, "and")] if held else []
    for obstacles, claims in _by_obstacles(outlooks).items():
        parts.append(f"not {_listed(claims, 'or')}, because of {_listed(obstacles, 'and')}")
    return "; ".join(parts)


def _by_obstacles(outlooks: Iterable[Outlook]) -> dict[tuple[str, ...], list[str]]:
    """Group the claims that do not always hold by the kinds that prevent them."""
    found: dict[tuple[str, ...], list[str]] = {}
    for outlook in outlooks:
        if outlook.obstacles:
            found.setdefault(outlook.obstacles, []).append(outlook.claim)
    return found


def _listed(words: Iterable[str], last: str) -> str:
    *first, final = words
    return f"{', '.join(first)} {last} {final}" if first else final
