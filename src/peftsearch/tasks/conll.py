"""Read CoNLL files: a word a line with its tag in the last column, and blank lines between the sentences."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from peftsearch.tasks.text_files import TextReading

# Columns that a CoNLL file is read into.
WORDS, TAGS = "tokens", "tags"
# A line that begins a document; it is no word.
_DOCUMENT = "-DOCSTART-"
# A comment before a sentence, as MultiCoNER's files and CoNLL-U have them; "#" alone can be a word.
_COMMENT = re.compile(r"#\s*(id\s+\S|\w+\s*=)")
# Not all white space: words of some languages have other sorts of it inside.
_BLANKS = "[ \t]+"


def read_conll(path: Path, reading: TextReading) -> list[dict[str, list[str]]]:
    """Read each sentence as a row of words, and of tags where the lines have any.

    The first column of a line is the word, its last one the tag; columns between them are passed over. Lines that
    start with -DOCSTART- are no words, and neither are comments before a sentence: "# id 7", "# text = ...".

    Args:
        path: of the file.
        reading: its encoding, and the delimiter of the columns; without one they are separated by spaces and tabs.

    Raises:
        ValueError: for a line with another number of columns than the first one.
    """
    with reading.open(path) as file:
        return list(_sentences(file, re.escape(reading.character) if reading.character else _BLANKS))


def _sentences(file: TextIO, delimiter: str) -> Iterator[dict[str, list[str]]]:
    width, sentence = 0, []
    for number, line in enumerate(file, start=1):
        text = line.strip(" \t\r\n")
        if not sentence and _COMMENT.match(text):
            continue
        cells = re.split(delimiter, text) if text else []
        if cells and cells[0] != _DOCUMENT:
            width = width or len(cells)
            _check_width(cells, width, number)
            sentence.append(cells)
        elif sentence:
            yield _row(sentence)
            sentence = []
    if sentence:
        yield _row(sentence)


def _check_width(cells: list[str], width: int, number: int) -> None:
    if len(cells) != width:
        raise ValueError(
            f"line {number} has {len(cells)} columns, but the lines before it have {width}: {' '.join(cells)[:60]!r}. "
            "A line has a word first and its tag last; a blank line ends a sentence"
        )


def _row(sentence: list[list[str]]) -> dict[str, list[str]]:
    words = [cells[0] for cells in sentence]
    return {WORDS: words} if len(sentence[0]) == 1 else {WORDS: words, TAGS: [cells[-1] for cells in sentence]}
