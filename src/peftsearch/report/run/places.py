"""Table of the places of a configuration's modules, as text for the model card."""

from collections import defaultdict

from peftsearch.modules.peft_module import KINDS
from peftsearch.report.page import TextTable
from peftsearch.space import Choice, Configuration

# After every layer.
_OUTSIDE = 10**6


def table_of_places(configuration: Configuration) -> TextTable:
    """A row for each layer from the bottom, and a column for each role, that have modules.

    It needs no list of sites, as the map of a report does; what stands outside of the layers comes last.
    """
    cells: dict[tuple[str, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for choice in configuration:
        stack, *layer, role = choice.site.split(".")
        cells[stack, int(layer[0]) if layer else _OUTSIDE][role].append(_module(choice))
    roles = sorted({role for row in cells.values() for role in row})
    rows = [(_layer_name(*key), *(", ".join(cells[key][role]) for role in roles)) for key in sorted(cells)]
    return TextTable("Where the modules are", ("layer", *roles), tuple(rows))


def _module(choice: Choice) -> str:
    is_ranked = choice.kind in KINDS and KINDS[choice.kind].ranked
    return f"{choice.kind} {choice.rank}" if is_ranked else choice.kind


def _layer_name(stack: str, layer: int) -> str:
    return f"{stack}, outside of layers" if layer == _OUTSIDE else f"{stack} {layer}"
