"""Map of a model: its stacks, layers and roles, with the modules chosen and those that could have been."""

from collections.abc import Sequence
from dataclasses import dataclass

from peftsearch.modules.costs import cost_at
from peftsearch.modules.peft_module import KINDS
from peftsearch.report.kind_style import code_of
from peftsearch.report.run.record import RunRecord, method_of
from peftsearch.space import ONCE_PER_STACK, SPACES, Role, Site


@dataclass(frozen=True)
class Mark:
    """One kind at one site.

    Args:
        kind: its name.
        rank: of a chosen ranked kind; None for others.
        parameters: trained at the site; 0 where the kind was not chosen.
        is_chosen: whether the configuration has it.
    """

    kind: str
    rank: int | None
    parameters: int
    is_chosen: bool

    @property
    def label(self) -> str:
        """The mark as the map shows it."""
        return code_of(self.kind) + ("" if self.rank is None else f" {self.rank}")

    @property
    def words(self) -> str:
        """The mark as a screen reader says it."""
        rank = "" if self.rank is None else f" of rank {self.rank}"
        return f"{self.kind}{rank}, {self.parameters:,} parameters" if self.is_chosen else f"{self.kind} not chosen"


@dataclass(frozen=True)
class SiteMarks:
    """A site and its marks; `site` is None where the model has none."""

    site: Site | None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class MapRow:
    """A layer with a cell for each role, or a norm before or after the layers with one cell."""

    name: str
    cells: tuple[SiteMarks, ...]


@dataclass(frozen=True)
class StackMap:
    """One stack; the input is at the top."""

    name: str
    roles: tuple[Role, ...]
    rows: tuple[MapRow, ...]


@dataclass(frozen=True)
class ModelMap:
    """Every stack, and the kinds on the map."""

    stacks: tuple[StackMap, ...]
    kinds: tuple[str, ...]

    @property
    def marks(self) -> list[tuple[Site, Mark]]:
        """Chosen modules with their sites, in the order of the map."""
        cells = [cell for stack in self.stacks for row in stack.rows for cell in row.cells]
        return [(cell.site, mark) for cell in cells if cell.site for mark in cell.marks if mark.is_chosen]


def make_map(record: RunRecord) -> ModelMap | None:
    """Lay configuration and search space over the sites of the model; None for runs that place nothing."""
    sites = [Site.from_dict(row) for row in record.sites]
    places = _Places(record)
    marks = {site: places.marks(site) for site in sites}
    if not any(marks.values()):
        return None
    kinds = sorted({mark.kind for found in marks.values() for mark in found})
    stacks = sorted({site.stack for site in sites}, key=lambda stack: (stack != "encoder", stack))
    return ModelMap(
        tuple(_stack(stack, [s for s in sites if s.stack == stack], marks) for stack in stacks),
        tuple(kinds),
    )


class _Places:
    """Kinds that a site has and could have had."""

    def __init__(self, record: RunRecord):
        self.chosen = {(choice.site, choice.kind): choice.rank for choice in record.configuration}
        space = space_of(record)
        self.preset = SPACES[space] if space and space in SPACES else None

    def marks(self, site: Site) -> tuple[Mark, ...]:
        possible = {k for k in KINDS if self.preset and self.preset.allows(k, site) and KINDS[k].fits(site)}
        chosen = {kind for name, kind in self.chosen if name == site.name}
        return tuple(self._mark(site, kind) for kind in sorted(possible | chosen))

    def _mark(self, site: Site, kind: str) -> Mark:
        rank = self.chosen.get((site.name, kind))
        shown = rank if kind in KINDS and KINDS[kind].ranked else None
        parameters = (cost_at(kind, site, rank) or 0) if rank and kind in KINDS else 0
        return Mark(kind, shown, parameters, rank is not None)


def space_of(record: RunRecord) -> str | None:
    """Name of the space that was searched, also of an unfinished search; None for other runs."""
    if record.results:
        return record.results.space
    method = method_of(record)
    if record.config.get("configuration") or method is None or not method.is_search:
        return None
    return record.config.get("space") or method.space


def _stack(name: str, sites: Sequence[Site], marks: dict[Site, tuple[Mark, ...]]) -> StackMap:
    once = {site.role: MapRow(site.role.replace("_", " "), (_cell(site, marks),)) for site in sites if _is_once(site)}
    inside = [site for site in sites if not _is_once(site)]
    roles = tuple(role for role in Role if any(site.role == role for site in inside))
    by_place = {(site.layer, site.role): site for site in inside}
    layers = tuple(
        MapRow(f"layer {layer}", tuple(_cell(by_place.get((layer, role)), marks) for role in roles))
        for layer in sorted({site.layer for site in inside})
    )
    before, after = once.get(Role.EMBEDDING_NORM), once.get(Role.FINAL_NORM)
    return StackMap(name, roles, tuple(row for row in (before, *layers, after) if row))


def _is_once(site: Site) -> bool:
    return site.role in ONCE_PER_STACK


def _cell(site: Site | None, marks: dict[Site, tuple[Mark, ...]]) -> SiteMarks:
    return SiteMarks(site, marks[site]) if site else SiteMarks(None)
