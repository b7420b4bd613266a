"""The map of a model and the sizes of what stands there, as charts."""

from collections import Counter, defaultdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from peftsearch.report.charts import BLACK, GRID, INK, Chart, new_chart, parameter_axis
from peftsearch.report.kind_style import code_of, kind_colour, kind_hatch, text_on
from peftsearch.report.run.model_map import MapRow, Mark, ModelMap, SiteMarks, StackMap


def map_chart(found: ModelMap) -> Chart:
    """The map as a picture, for slides; a page shows it as a table."""
    heights = [len(stack.rows) for stack in found.stacks]
    widest = max(len(stack.roles) for stack in found.stacks)
    figure = Figure(figsize=(2 + 1.1 * widest, 1.2 + 0.9 * len(heights) + 0.27 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, stack in zip(axes, found.stacks):
        _draw_stack(axis, stack)
    patches = [Patch(facecolor=kind_colour(kind), label=f"{code_of(kind)}  {kind}") for kind in found.kinds]
    figure.legend(handles=patches, loc="outside lower left", ncols=min(4, len(patches)))
    header = ("site", "kind", "rank", "parameters")
    rows = tuple((site.name, mark.kind, str(mark.rank or ""), f"{mark.parameters:,}") for site, mark in found.marks)
    return Chart("map", "What stands where", figure, header, rows)


def _draw_stack(axis: Axes, stack: StackMap) -> None:
    for y, row in enumerate(stack.rows):
        width = len(stack.roles) / len(row.cells)
        for i, cell in enumerate(row.cells):
            _draw_cell(axis, cell, i * width, y)
    axis.set(xlim=(0, len(stack.roles)), ylim=(len(stack.rows), 0), title=stack.name)
    axis.set_xticks([i + 0.5 for i in range(len(stack.roles))], [role.replace("_", "\n") for role in stack.roles])
    axis.set_yticks([i + 0.5 for i in range(len(stack.rows))], [row.name for row in stack.rows])
    axis.tick_params(length=0, labelsize=8, top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_cell(axis: Axes, cell: SiteMarks, x: float, y: int) -> None:
    for i, mark in enumerate(cell.marks):
        width = 0.96 / len(cell.marks)
        _draw_mark(axis, mark, (x + 0.02 + i * width, y + 0.08), width - 0.02)


def _draw_mark(axis: Axes, mark: Mark, corner: tuple[float, float], width: float) -> None:
    face, edge, line = (kind_colour(mark.kind), None, 0.0) if mark.is_chosen else ("none", GRID, 0.6)
    axis.add_patch(Rectangle(corner, width, 0.84, linewidth=line, facecolor=face, edgecolor=edge))
    if mark.is_chosen:
        x, y = corner[0] + width / 2, corner[1] + 0.44
        colour = text_on(mark.kind)
        axis.text(x, y, mark.label, ha="center", va="center", fontsize=7, color=colour)


def size_charts(found: ModelMap) -> tuple[Chart, ...]:
    """Parameters by kind, and by layer of each stack; none where nothing is placed."""
    if not found.marks:
        return ()
    return (_by_kind(found), *map(_by_layer, found.stacks))


def _by_kind(found: ModelMap) -> Chart:
    sizes, counts = Counter[str](), Counter[str]()
    for _, mark in found.marks:
        sizes[mark.kind] += mark.parameters
        counts[mark.kind] += 1
    kinds = sorted(sizes, key=lambda kind: sizes[kind])
    figure, axis = new_chart(height=1.0 + 0.35 * len(kinds))
    bars = axis.barh(kinds, [sizes[kind] for kind in kinds], color=[kind_colour(kind) for kind in kinds])
    for bar, kind in zip(bars, kinds):
        bar.set(hatch=kind_hatch(kind), edgecolor=BLACK, linewidth=0.6)
    axis.bar_label(bars, [f"{sizes[kind]:,}" for kind in kinds], padding=3, fontsize=8, color=INK)
    axis.margins(x=0.18)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("parameters")
    parameter_axis(axis, "x", [])
    total = sum(sizes.values())
    rows = tuple((k, str(counts[k]), f"{sizes[k]:,}", f"{sizes[k] / total:.1%}") for k in reversed(kinds))
    return Chart("kinds", "Parameters by kind", figure, ("kind", "modules", "parameters", "share"), rows)


def _by_layer(stack: StackMap) -> Chart:
    sizes: dict[str, list[int]] = defaultdict(lambda: [0] * len(stack.rows))
    for y, row in enumerate(stack.rows):
        for mark in _chosen(row):
            sizes[mark.kind][y] += mark.parameters
    figure, axis = new_chart()
    below = [0] * len(stack.rows)
    for kind in sorted(sizes):
        style = {"color": kind_colour(kind), "hatch": kind_hatch(kind), "edgecolor": BLACK, "linewidth": 0.6}
        axis.bar(range(len(stack.rows)), sizes[kind], bottom=below, label=kind, width=0.75, **style)
        below = [a + b for a, b in zip(below, sizes[kind])]
    names = [row.name.removeprefix("layer ").replace("embedding", "emb.").replace(" ", "\n") for row in stack.rows]
    shown = range(0, len(names), 1 + len(names) // 14)
    axis.set_xticks(list(shown), [names[i] for i in shown])
    axis.set(xlabel=f"layer of the {stack.name}, input on the left", ylabel="parameters")
    axis.grid(axis="x", visible=False)
    parameter_axis(axis, "y", [])
    if sizes:
        figure.legend(loc="outside lower left", ncols=3)
    header = ("layer", *sorted(sizes), "all")
    rows = tuple(
        (row.name, *(f"{sizes[kind][y]:,}" for kind in sorted(sizes)), f"{below[y]:,}")
        for y, row in enumerate(stack.rows)
    )
    return Chart(f"layers-{stack.name}", f"Parameters by depth, {stack.name}", figure, header, rows)


def _chosen(row: MapRow) -> list[Mark]:
    return [mark for cell in row.cells for mark in cell.marks if mark.is_chosen]
