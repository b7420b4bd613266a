"""Rows that are written are the rows that are read."""

import json

import pandas
import pytest

from peftsearch.errors import DataError
from peftsearch.tasks.tables import read_table
from peftsearch.tasks.writing import WRITERS, writer_of

ROWS = [
    {"text": 'he said "no", twice', "prediction": "naïve"},
    {"text": "'single' and ; | , marks", "prediction": "x"},
]


@pytest.mark.parametrize("suffix", WRITERS)
def test_texts_come_back_as_they_were(suffix, tmp_path):
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(writer_of(path)(ROWS))
    assert [dict(row) for row in read_table(path)] == ROWS


def test_line_breaks_are_quoted_in_csv_and_refused_in_tsv(tmp_path):
    rows = [{"text": "one\nline and\tanother", "prediction": 1.5}]
    path = tmp_path / "rows.csv"
    path.write_bytes(writer_of(path)(rows))
    assert read_table(path) == [{"text": "one\nline and\tanother", "prediction": "1.5"}]
    assert pandas.read_csv(path)["text"][0] == "one\nline and\tanother"
    with pytest.raises(DataError, match=r"column 'text' of row 1 has a tab or a line break.*\.csv, \.jsonl"):
        writer_of(tmp_path / "rows.tsv")(rows)


def test_cells_that_are_missing_stay_so(tmp_path):
    rows = [{"text": "a", "note": None}, {"text": "b", "other": 3}]
    assert writer_of(tmp_path / "r.csv")(rows) == b"text,note,other\na,,\nb,,3\n"
    lines = writer_of(tmp_path / "r.jsonl")(rows).decode().splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"suffix is '.xlsx'. Known: .csv, .tsv, .jsonl, .parquet"):
        writer_of(tmp_path / "rows.xlsx")


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_messages_of_a_chat_are_json_and_words_are_joined(suffix, tmp_path):
    messages, path = [{"role": "user", "content": "Where's Ida?"}], tmp_path / f"rows{suffix}"
    path.write_bytes(writer_of(path)([{"messages": messages, "words": ["a", "b"]}]))
    (row,) = read_table(path)
    assert json.loads(row["messages"]) == messages and row["words"] == "a b"
