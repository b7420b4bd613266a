"""`comparison.html`: the table and a picture in one file that opens anywhere."""

from importlib.resources import files

from jinja2 import Environment
from markupsafe import Markup

from peftsearch.report.comparison import Comparison
from peftsearch.report.comparison_figure import draw_scores
from peftsearch.report.comparison_text import columns, failures, header, notes


def as_html(comparison: Comparison) -> str:
    """The comparison as a page."""
    template = files("peftsearch.report").joinpath("comparison.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    figure = draw_scores(comparison)
    return environment.from_string(template).render(
        facts=comparison.facts,
        header=header(comparison),
        rows=[columns(comparison, row) for row in comparison.rows],
        failures=failures(comparison),
        notes=notes(comparison),
        # matplotlib escapes text in its SVG.
        figure=Markup(figure) if figure else None,
    )
