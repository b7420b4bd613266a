"""Quoted texts of the data."""

import pytest

from peftsearch.tasks.quoting import quote, quote_end


@pytest.mark.parametrize(
    "text,expected",
    [
        ("a  b\n\tc\r\n| d", "a b c | d"),
        ("x\x00y\x1b[31m", "x\ufffdy\ufffd[31m"),
        ("a\u202eb\ud800c", "a\ufffdb\ufffdc"),
        # Joined emoji and Persian words need their joiners.
        ("👩\u200d💻 \u0645\u06cc\u200c\u062e", "👩\u200d💻 \u0645\u06cc\u200c\u062e"),
        ("", ""),
    ],
)
def test_a_quote_is_one_line_that_changes_nothing_around_it(text, expected):
    assert quote(text) == expected


def test_a_long_text_is_cut_to_the_limit_with_an_ellipsis():
    assert quote("abcdef", longest=6) == "abcdef"
    assert quote("abcdefg", longest=6) == "abcde…"
    assert quote("abc  defgh", longest=5) == "abc…"
    assert quote(" " * 1000 + "a", longest=5) == "…"
    assert len(quote("x" * 10**6)) == 200


def test_the_end_of_a_long_text_is_kept_where_it_matters():
    assert quote_end("abc\ndef", longest=7) == "abc def"
    assert quote_end("abcdefg", longest=6) == "…cdefg"
    assert quote_end("abc defgh\x00", longest=6) == "…efgh\ufffd"
    assert quote_end("abcd efg", longest=5) == "…efg"
    assert len(quote_end("x" * 10**6)) == 200
