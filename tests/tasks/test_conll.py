"""CoNLL files against sentences written by hand."""

import gzip
from pathlib import Path

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.tables import read_table
from peftsearch.tasks.text_files import TextReading

TEXT = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

\t
Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""
ROWS = [
    {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
    {"tokens": ["Peter", "Blackburn"], "tags": ["B-PER", "I-PER"]},
]


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["train.conll", "train.conll.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_first_column_is_the_word_and_the_last_one_its_tag(tmp_path, name, end):
    assert read_table(write(tmp_path / name, TEXT.replace("\n", end))) == ROWS


def test_words_without_tags_have_one_column(tmp_path):
    assert read_table(write(tmp_path / "new.conll", "EU\nrejects\n\nPeter")) == [
        {"tokens": ["EU", "rejects"]},
        {"tokens": ["Peter"]},
    ]


def test_a_delimiter_keeps_spaces_in_words(tmp_path):
    path = write(tmp_path / "a.conll", "New York\tB-city\nat\u00a0last\tO\n")
    assert read_table(path, TextReading("tab")) == [{"tokens": ["New York", "at\u00a0last"], "tags": ["B-city", "O"]}]
    # Without one, only spaces and tabs are between columns.
    found = read_table(write(tmp_path / "b.conll", "at\u00a0last  O\nx \t O\n"))
    assert found == [{"tokens": ["at\u00a0last", "x"], "tags": ["O", "O"]}]


@pytest.mark.parametrize(
    "text,message",
    [
        ("EU B-ORG\nrejects\n", "line 2 has 1 columns, but the lines before it have 2: 'rejects'"),
        ("EU\n\nPeter B-PER\n", "line 3 has 2 columns, but the lines before it have 1"),
        ("-DOCSTART- O\n\n", "is empty: at least one row is needed"),
    ],
)
def test_other_files_are_refused_with_their_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path / "x.conll", text))


def test_comments_before_a_sentence_are_no_words(tmp_path):
    comments = "# id 7f\tdomain=en\n# text = EU rejects\n"
    text = f"{comments}EU _ _ B-ORG\nrejects _ _ O\n\n# id 8\tdomain=en\n# _ _ O\nid _ _ O\n"
    assert read_table(write(tmp_path / "a.conll", text)) == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]},
        {"tokens": ["#", "id"], "tags": ["O", "O"]},
    ]
