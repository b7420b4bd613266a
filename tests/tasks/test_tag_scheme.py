"""Schemes of tags, by examples of their definitions, and what seqeval makes of their spans."""

import logging

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from peftsearch.tasks.tag_scheme import as_iobes, has_spans, scheme_of, tell_scheme

# "Oslo and New York, Bergen": two cities of which the second has two words, and one right after another.
BIO = ["B-city", "O", "B-city", "I-city", "B-city"]
IOB1 = ["I-city", "O", "I-city", "I-city", "B-city"]
IOBES = ["S-city", "O", "B-city", "E-city", "S-city"]
BILOU = ["U-city", "O", "B-city", "L-city", "U-city"]
BMES = ["W-city", "O", "B-city", "E-city", "W-city"]
SPANS = [("city", 0, 0), ("city", 2, 3), ("city", 4, 4)]


@pytest.mark.parametrize(
    "scheme,tags", [("BIO", BIO), ("IOB1", IOB1), ("IOBES", IOBES), ("BILOU", BILOU), ("BMES", BMES)]
)
def test_each_scheme_is_recognised_and_seqeval_finds_the_same_spans(scheme, tags):
    assert scheme_of([tags, ["O"]]) == scheme
    assert get_entities([as_iobes(tag) for tag in tags]) == SPANS


def test_marks_inside_of_spans_are_read_in_every_scheme():
    for tags in (["B-a", "I-a", "L-a", "U-a"], ["B-a", "M-a", "E-a", "S-a"], ["B-a", "M-a", "E-a", "W-a"]):
        assert [as_iobes(tag) for tag in tags] == ["B-a", "I-a", "E-a", "S-a"]
    assert as_iobes("O") == "O" and as_iobes("M") == "M"


@pytest.mark.parametrize(
    "tags",
    [["NOUN", "VERB"], ["0", "1"], ["O", "O"], ["O", "B-"], ["O", "X-city"], ["B-a", "a"], ["B-a", "L-a", "E-a"]],
)
def test_other_tags_mark_no_spans(tags):
    assert not has_spans(tags) and scheme_of([tags]) == ""


def test_a_type_may_have_any_name():
    assert has_spans(["O", "B-creative-work", "I-creative-work"]) and has_spans(["B-\u5730\u540d"])


def test_another_type_begins_a_span_in_iob1():
    assert scheme_of([["I-city", "I-name"]]) == "IOB1" and scheme_of([["B-city", "I-name"]]) == "BIO"


def test_it_is_told_and_spans_that_begin_otherwise_are_counted(caplog):
    caplog.set_level(logging.INFO)
    tell_scheme([BIO, ["O", "I-name"]], source="train.jsonl", places=["row 1", "row 3 of train.jsonl"])
    assert "The tags of train.jsonl are BIO: B- begins each span" in caplog.text
    # The third city follows on a city, so that its B- is needed in any scheme and is not counted.
    assert "1 of 3 spans of train.jsonl begin with I-, first in row 3 of train.jsonl" in caplog.text
    tell_scheme([["NOUN", "VERB"]], source="pos.jsonl", places=["row 1"])
    assert "The tags of pos.jsonl mark no spans" in caplog.text
    assert "look as if" not in caplog.text


@pytest.mark.parametrize(
    "tags",
    [["O", "B-a", "L-a", "E-a"], ["O", "city-B", "city-I"], ["O", "B_city", "I_city"], ["O", "B-a", "I-b", "W-a"]],
)
def test_marks_of_no_known_scheme_are_named_and_not_passed_over(tags, caplog):
    tell_scheme([tags], source="train.jsonl", places=["row 1"])
    assert "look as if they marked spans, but by none of the schemes that are known" in caplog.text
    assert f"'{sorted(set(tags) - {'O'})[0]}'" in caplog.text
