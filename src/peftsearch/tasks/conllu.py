"""Read CoNLL-U files, as Universal Dependencies has them: words and their universal parts of speech."""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from peftsearch.tasks.conll import TAGS, WORDS
from peftsearch.tasks.text_files import TextReading

# ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC
_COLUMNS, _ID, _FORM, _UPOS = 10, 0, 1, 3


def read_conllu(path: Path, reading: TextReading) -> list[dict[str, list[str]]]:
    """Read each sentence as a row of words and of their universal parts of speech (UPOS).

    Comments, the lines of several words at once (ID 1-2) and empty nodes (ID 1.1) are passed over.

    Args:
        path: of the file.
        reading: its encoding.

    Raises:
        ValueError: for a line without 10 columns, or a delimiter.
    """
    if reading.delimiter:
        raise ValueError(f"its columns are always separated by tabs, but delimiter is {reading.delimiter!r}")
    with reading.open(path) as file:
        return list(_sentences(file))


def _sentences(file: TextIO) -> Iterator[dict[str, list[str]]]:
    sentence: list[list[str]] = []
    for number, line in enumerate(file, start=1):
        text = line.rstrip("\r\n")
        cells = text.split("\t")
        if not text.strip():
            if sentence:
                yield _row(sentence)
            sentence = []
        elif len(cells) != _COLUMNS and not text.startswith("#"):
            raise ValueError(
                f"line {number} has {len(cells)} columns, but CoNLL-U has {_COLUMNS}, with tabs between: {text[:60]!r}"
            )
        elif cells[_ID].isdecimal():
            sentence.append(cells)
    if sentence:
        yield _row(sentence)


def _row(sentence: list[list[str]]) -> dict[str, list[str]]:
    return {WORDS: [cells[_FORM] for cells in sentence], TAGS: [cells[_UPOS] for cells in sentence]}
