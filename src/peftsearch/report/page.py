"""A page of headings, tables and charts: one file that opens anywhere, without a network."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, Template

from peftsearch.files import write_bytes, write_text
from peftsearch.report.charts import Chart
from peftsearch.report.kind_style import code_of, style_index
from peftsearch.report.run.model_map import ModelMap
from peftsearch.report.verdict import Verdict


@dataclass(frozen=True)
class TextTable:
    """Text in columns; the first one names the row.

    Args:
        caption: what it shows.
        header: names of the columns.
        rows: as long as the header.
        links: for each row, a relative address that its name leads to; empty for none.
        has_texts: whether cells hold texts of the data, which are wrapped.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str, ...] = ()
    has_texts: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; sections without content are left out by those who make pages.

    Args:
        name: id within the page.
        title: the heading.
        text: paragraphs.
        map: the modules on the layers of a model.
        charts: pictures.
        tables: shown in full.
        folded: tables that open on demand.
        verbatim: text as it is, such as settings; it opens on demand.
        items: a list of sentences.
    """

    name: str
    title: str
    text: tuple[str, ...] = ()
    map: ModelMap | None = None
    charts: tuple[Chart, ...] = ()
    tables: tuple[TextTable, ...] = ()
    folded: tuple[TextTable, ...] = ()
    verbatim: str = ""
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole page.

    Args:
        title: the first heading.
        subtitle: one line that names the subject.
        verdict: the sentence at the top.
        facts: the numbers that matter most, as (name, value, remark).
        notes: what the reader must know before anything else.
        sections: in their order.
    """

    title: str
    subtitle: str
    verdict: Verdict
    facts: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def charts(self) -> list[Chart]:
        """Every chart of the page."""
        return [chart for section in self.sections for chart in section.charts]


def render(page: Page) -> str:
    """The page as HTML; every text is escaped."""
    return _template().render(page=page)


@cache
def _template() -> Template:
    """The template of pages; to compile it takes longer than to fill it in."""
    environment = Environment(
        loader=PackageLoader("peftsearch", "report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"code": code_of, "style": style_index}
    return environment.get_template("page.html.jinja")


def write_page(page: Page, path: Path, *, also: Sequence[Chart] = ()) -> Path:
    """Write a page, and its charts and those of `also` as SVG and PNG into `figures/` beside it.

    A reader of the page sees the old or the new one, never half of it.
    """
    figures = path.parent / "figures"
    for chart in (*also, *page.charts):
        write_text(figures / f"{chart.name}.svg", chart.svg)
        write_bytes(figures / f"{chart.name}.png", chart.png)
    write_text(path, render(page))
    return path
