"""Texts before and after training: on the page, escaped, and nowhere that is published."""

import pytest
from finished_run import write_run
from run_folder_samples import EVIL, write_finished

from peftsearch.errors import RunFolderError
from peftsearch.report.run.html import published_page, write_report
from peftsearch.report.run.model_card import write_card
from peftsearch.report.run.record import collect
from peftsearch.report.run.sample_record import Sample, SampleRecord

pytestmark = pytest.mark.usefixtures("text_alone")
RECORD = SampleRecord(
    "searched", 3, 12, (Sample("what I read", "what I want", "", f"what I wrote {EVIL}"), Sample("b", "c", "d", "e"))
)


@pytest.fixture
def run(tmp_path):
    folder = write_finished(tmp_path)
    RECORD.write(folder)
    return folder


def test_the_page_shows_what_was_written_as_text_alone(run):
    page = write_report(run).read_text(encoding="utf-8")
    assert "The first 2 examples of the 12 of the test split" in page and "by searched, seed 3 (after)" in page
    row = page[page.index("what I read") :]
    assert row.index("what I want") < row.index("(nothing)") < row.index("what I wrote &lt;script&gt;")
    assert "<script" not in page and "<img" not in page


def test_what_is_published_has_no_samples(run, tmp_path):
    page = published_page(collect(run))
    assert "what I" not in page and "What it writes" not in page
    other = write_run(tmp_path / "other")
    RECORD.write(other)
    (other / "adapter").mkdir(exist_ok=True)
    assert "what I" not in write_card(collect(other), other / "adapter").read_text(encoding="utf-8")


def test_runs_without_samples_have_no_section_and_broken_ones_are_refused(run):
    (run / "samples.json").unlink()
    assert "What it writes" not in write_report(run).read_text(encoding="utf-8")
    (run / "samples.json").write_text('{"name": "searched", "seed": 0, "examples": 1}')
    with pytest.raises(RunFolderError, match="it has no 'samples'"):
        collect(run)
