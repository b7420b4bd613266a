"""`report.html` of a run, and its pictures in `figures/`."""

from pathlib import Path

from peftsearch.report.charts import chart_style
from peftsearch.report.page import render, write_page
from peftsearch.report.run.map_chart import map_chart
from peftsearch.report.run.page import make_run_page
from peftsearch.report.run.record import RunRecord, collect


def write_report(run: Path) -> Path:
    """Write the report of a run and its figures; of an unfinished run, what there is.

    Raises:
        RunFolderError: if the folder is not one of a run.
    """
    return write_page_of(collect(run))


def write_page_of(record: RunRecord) -> Path:
    """Write the report of a run that has been read; see `write_report`."""
    with chart_style():
        page = make_run_page(record)
        maps = [map_chart(section.map) for section in page.sections if section.map]
        return write_page(page, record.folder / "report.html", also=maps)


def published_page(record: RunRecord) -> str:
    """The page of a run for others: without anything that quotes the data."""
    with chart_style():
        return render(make_run_page(record.without_data))
