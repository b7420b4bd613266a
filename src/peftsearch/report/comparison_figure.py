"""The picture of a comparison: what a method scores for its parameters."""

from peftsearch.report.comparison import Comparison
from peftsearch.report.figures import COLOURS, figure_to_svg, pyplot


def draw_scores(comparison: Comparison) -> str | None:
    """Average test score against parameters on a logarithmic axis; None while no method has both.

    Methods without trained parameters, such as the head alone, are horizontal lines.
    """
    rows = [row for row in comparison.rows if row.average is not None and row.parameters is not None]
    if not rows:
        return None
    figure, axis = pyplot.subplots(figsize=(8, 4.5))
    names = sorted(row.method for row in rows)
    for row in rows:
        colour = COLOURS[names.index(row.method) % len(COLOURS)]
        if not row.parameters:
            axis.axhline(row.average, color=colour, linestyle="--", linewidth=1, label=row.method)
            continue
        marker = "s" if row.outside_budget else "o"
        axis.scatter([row.parameters], [row.average], color=colour, marker=marker, label=row.method, zorder=3)
        place = (row.parameters, row.average)
        axis.annotate(row.method, place, xytext=(5, 5), textcoords="offset points", fontsize=8)
    axis.axvline(comparison.facts.budget_parameters, color="black", linestyle=":", linewidth=1, label="budget")
    axis.set(xscale="log", xlabel="trained parameters, task head excluded", ylabel="average test score")
    axis.legend(frameon=False, fontsize=8, loc="best")
    axis.grid(alpha=0.3)
    figure.tight_layout()
    return figure_to_svg(figure)
