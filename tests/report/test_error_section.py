"""Where a result is wrong: on the page, on the card, and what of it is published."""

import re
from dataclasses import replace

import markupsafe
import pytest
from finished_run import write_run
from markdown_it import MarkdownIt
from run_folder_samples import EVIL, sample_errors, write_finished

from peftsearch.errors import RunFolderError
from peftsearch.report.charts import chart_style
from peftsearch.report.run.error_record import ErrorRecord
from peftsearch.report.run.error_section import error_section
from peftsearch.report.run.html import published_page, write_report
from peftsearch.report.run.model_card import write_card
from peftsearch.report.run.record import collect
from peftsearch.tasks.error_report import CountMatrix, ErrorReport, NumberPairs

SECRET = "a secret text"


@pytest.fixture
def run(tmp_path):
    return write_finished(tmp_path)


@pytest.mark.usefixtures("text_alone")
def test_the_page_shows_mistakes_and_their_texts_are_only_text(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert "Where it is wrong" in page and "(searched, seed 0) for the 10 examples of the test split" in page
    assert str(markupsafe.escape(f"{SECRET} {EVIL} `|` ![x](y)")) in page
    assert "<script" not in page and "<img" not in page
    matrix = page[page.index('id="figure-errors-matrix"') :]
    assert re.search(r"<td>3</td><td>1</td>", matrix), "the drawing has its numbers as a table"


@pytest.mark.usefixtures("text_alone")
def test_what_is_published_quotes_nothing_of_the_data(run):
    page = published_page(collect(run))
    assert SECRET not in page and "errors-numbers" not in page
    assert "Confusion matrix" in page and "of each label" in page and "Said." in page


def test_the_card_has_the_counts_and_none_of_the_texts(tmp_path):
    run = write_run(tmp_path / "run")
    plain = write_card(collect(run), run / "adapter").read_text(encoding="utf-8")
    assert "Where it is wrong" not in plain
    sample_errors().write(run)
    card = write_card(collect(run), run / "adapter").read_text(encoding="utf-8")
    assert SECRET not in card and "secret" not in card and "mistakes" not in card
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(card.split("---\n", 2)[2])
    assert "<h2>Where it is wrong</h2>" in html
    rows = re.findall(r"<tr>\s*<td>(.*?)</td>\s*<td>(.*?)</td>\s*<td>(.*?)</td>\s*</tr>", html)
    assert ("good", "3", "1") in rows and (str(markupsafe.escape(EVIL)).replace("&#39;", "'"), "0", "6") in rows
    assert "<script" not in html and "<img" not in html


@pytest.mark.usefixtures("text_alone")
def test_runs_without_a_record_and_records_without_errors_have_no_section(run):
    (run / "errors.json").unlink()
    assert "Where it is wrong" not in write_report(run).read_text(encoding="utf-8")
    replace(sample_errors(), errors=ErrorReport()).write(run)
    assert "Where it is wrong" not in write_report(run).read_text(encoding="utf-8")


def test_a_broken_record_is_named(run):
    (run / "errors.json").write_text('{"name": "searched", "seed": 0, "examples": 10}')
    with pytest.raises(RunFolderError, match="it has no 'errors'"):
        collect(run)


def charts_of(errors: ErrorReport):
    with chart_style():
        section = error_section(ErrorRecord("searched", 0, 5, errors))
        assert section is not None
        return [(chart, chart.svg) for chart in section.charts]


def test_a_cell_is_shaded_by_the_share_of_its_row():
    ((chart, svg),) = charts_of(ErrorReport(matrix=CountMatrix(("a", "b"), ((3, 1), (0, 0)))))
    shades = [patch.get_alpha() for patch in chart.figure.axes[0].patches]
    assert shades == pytest.approx([0.65 * 3 / 4, 0.65 / 4, 0, 0])
    assert chart.rows == (("a", "3", "1"), ("b", "0", "0")) and ">3</text>" in svg


def test_numbers_are_summed_up_by_fifths():
    true = tuple(map(float, range(10)))
    ((chart, _),) = charts_of(ErrorReport(numbers=NumberPairs(true, tuple(-x for x in true))))
    # Of 0 and 1 the mean is 0.5, the predictions are 0 and -1 and off by 0 and 2; 8 and 9 are off by 16 and 18.
    assert chart.rows[0] == ("0 to 1", "2", "0.5", "-0.5", "1") and len(chart.rows) == 5
    assert chart.rows[-1] == ("8 to 9", "2", "8.5", "-8.5", "17")
    ((one, _),) = charts_of(ErrorReport(numbers=NumberPairs((2.0,), (3.0,))))
    assert one.rows == (("2 to 2", "1", "2", "3", "1"),)


@pytest.mark.filterwarnings("error")
def test_labels_of_any_script_are_drawn(run):
    record = sample_errors()
    labels = ("\u5730\u540d", "\U0001f600 $x^2$")
    errors = replace(record.errors, matrix=replace(record.errors.matrix, labels=labels))
    replace(record, errors=errors).write(run)
    page = write_report(run).read_text(encoding="utf-8")
    assert labels[0] in page and labels[1] in page
