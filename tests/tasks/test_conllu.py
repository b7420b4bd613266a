"""CoNLL-U files against a sentence of its definition, written by hand."""

import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.conllu import read_conllu
from peftsearch.tasks.tables import read_table
from peftsearch.tasks.text_files import TextReading

READERS = {".conllu": read_conllu}


def line(number: str, form: str, upos: str) -> str:
    return f"{number}\t{form}\t_\t{upos}\tXX\t_\t0\tdep\t_\t_"


# "vámonos al mar" is written in three words and read as five; 4.1 is an empty node.
TEXT = "\n".join(
    [
        "# sent_id = 1",
        "# text = vámonos al mar",
        line("1-2", "vámonos", "_"),
        line("1", "vamos", "VERB"),
        line("2", "nos", "PRON"),
        line("3-4", "al", "_"),
        line("3", "a", "ADP"),
        line("4", "el", "DET"),
        line("4.1", "gran", "ADJ"),
        line("5", "mar", "NOUN"),
        "",
        line("1", "New York", "PROPN"),
        "",
    ]
)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_words_and_their_universal_parts_of_speech_are_read(tmp_path, end):
    path = tmp_path / "train.conllu"
    path.write_bytes(TEXT.replace("\n", end).encode())
    assert read_table(path, readers=READERS) == [
        {"tokens": ["vamos", "nos", "a", "el", "mar"], "tags": ["VERB", "PRON", "ADP", "DET", "NOUN"]},
        {"tokens": ["New York"], "tags": ["PROPN"]},
    ]


@pytest.mark.parametrize(
    "text,reading,message",
    [
        (TEXT + "1 a b", TextReading(), r"'.*' can't be read as conllu: line 13 has 1 columns, but CoNLL-U has 10"),
        (TEXT, TextReading(","), "can't be read as conllu: its columns are always separated by tabs"),
        ("# nothing\n\n", TextReading(), "is empty: at least one row is needed"),
    ],
)
def test_other_lines_are_named(tmp_path, text, reading, message):
    path = tmp_path / "train.conllu"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_table(path, reading, READERS)
