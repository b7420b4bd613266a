"""`report.html`: one file that opens anywhere, without a network."""

import os
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from peftsearch.report.collect import RunRecord, collect
from peftsearch.report.figures import draw_front, draw_map, draw_search, draw_training
from peftsearch.report.table import front_rows, summary_rows, verdict


def write_report(run: Path) -> Path:
    """Write the report of a finished run and its figures.

    Raises:
        RunFolderError: if the folder is not a finished run.
    """
    record = collect(run)
    figures = {name: svg for name, svg in _draw(record).items() if svg}
    (run / "figures").mkdir(exist_ok=True)
    for name, svg in figures.items():
        (run / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    path = run / "report.html"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(_render(record, figures), encoding="utf-8")
    os.replace(temporary, path)
    return path


def _draw(record: RunRecord) -> dict[str, str | None]:
    return {
        "map": draw_map(record),
        "search": draw_search(record),
        "front": draw_front(record),
        "training": draw_training(record),
    }


def _render(record: RunRecord, figures: dict[str, str]) -> str:
    template = files("peftsearch.report").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        results=record.results,
        rows=summary_rows(record),
        front=front_rows(record),
        verdict=verdict(record.results),
        # matplotlib escapes text in its SVG.
        figures={name: Markup(svg) for name, svg in figures.items()},
        settings=record.settings,
    )
