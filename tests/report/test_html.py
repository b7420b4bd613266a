import re
from html.parser import HTMLParser

import pytest
from report.conftest import EVIL

from peftsearch.errors import RunFolderError
from peftsearch.report.html import write_report
from peftsearch.space import Choice, Configuration

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Tags of a page, what is open, and the words of its headings."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.headings, self.attributes = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_every_tag_is_closed_and_the_parts_come_in_order(run):
    outline = Outline(write_report(run).read_text(encoding="utf-8"))
    assert outline.open == []
    assert outline.headings == [
        "Scores",
        "What stands where",
        "The search",
        "The training",
        "The ladder of budgets",
        "What is counted",
        "Data",
        "Settings and versions",
    ]


def test_the_report_loads_nothing(run):
    outline = Outline(write_report(run).read_text(encoding="utf-8"))
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(outline.tags)
    references = [v for _, name, v in outline.attributes if name in ("src", "href", "xlink:href", "data", "action")]
    assert all(value.startswith("#") for value in references)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_the_report_shows_the_numbers(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert "990 of 1,000 allowed (0.1%)" in text and "search over training 0.50" in text
    assert "66 parameters) is trained too; it is not in the budget" in text


def test_text_from_data_and_names_is_escaped(run):
    Configuration.of([Choice(EVIL, EVIL, 2), Choice("encoder.0.query", EVIL, 3)]).save(run / "configuration.json")
    outline = Outline(write_report(run).read_text(encoding="utf-8"))
    assert "script" not in outline.tags
    assert not any(name.startswith("on") for _, name, _ in outline.attributes)


def test_pictures_have_words_for_those_who_cannot_see_them(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert text.count("<svg") == text.count('role="img"') == text.count("<desc>") == text.count("<figcaption>") == 7


def test_pictures_are_files_too(run):
    write_report(run)
    names = {path.name for path in (run / "figures").iterdir()}
    assert {"map.svg", "search-size.svg", "training-loss.svg"} <= names


def test_equal_runs_give_equal_bytes(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first


def test_an_unfinished_run_shows_its_search_so_far(unfinished):
    text = write_report(unfinished).read_text(encoding="utf-8")
    outline = Outline(text)
    assert "This run is not finished" in text and outline.headings == ["The search", "Settings and versions"]


def test_a_folder_without_a_run_is_refused_and_stays_as_it_is(tmp_path):
    with pytest.raises(RunFolderError, match="has neither"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_page_is_readable_in_the_dark_and_on_a_phone(run):
    text = write_report(run).read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
