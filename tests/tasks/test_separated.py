"""Rows of csv and tsv files: exact, or an error."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.errors import DataError
from peftsearch.tasks.tables import read_table


def read(tmp_path, content: str, name: str = "train.csv") -> list[dict]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    return [dict(row) for row in read_table(path)]


def test_two_lonely_marks_in_a_tsv_swallow_no_row(tmp_path):
    rows = [f"tweet {i}\t{i % 2}" for i in range(100)]
    rows[10], rows[80] = '"so they said\t0', '"and again\t1'
    found = read(tmp_path, "text\tlabel\n" + "\n".join(rows) + "\n", "train.tsv")
    assert len(found) == 100
    assert found[10] == {"text": '"so they said', "label": "0"} and found[80]["text"] == '"and again'


@pytest.mark.parametrize("row", ["a,1,x", "a", '"a""b",1,x'])
def test_a_row_with_another_number_of_cells_is_named_by_its_line(row, tmp_path):
    with pytest.raises(DataError, match=r"train.csv.*line 4 has \d cells?, but the first line names 2 columns"):
        read(tmp_path, f'text,label\n"two\nlines",0\n{row}\n')


def test_a_cell_more_in_every_row_does_not_shift_the_columns(tmp_path):
    with pytest.raises(DataError, match="line 2 has 3 cells"):
        read(tmp_path, "text,label\na,1,x\nb,2,y\n")


@pytest.mark.parametrize("row", ['"never closed,1', '"good" film,1'])
def test_marks_that_do_not_pair_are_named_by_their_line(row, tmp_path):
    with pytest.raises(DataError, match=r"train.csv.*line \d"):
        read(tmp_path, f"text,label\na,0\n{row}\n")


def test_a_column_that_is_named_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="names the column 'text' twice"):
        read(tmp_path, "text,label,text\na,0,b\n")


def test_marks_line_breaks_and_gaps_of_a_csv(tmp_path):
    found = read(tmp_path, '\ufefftext,label\r\n"say ""hi"", twice",1\r\n\r\n"a\r\nb",NA\r\nc,\r\n')
    assert [tuple(row.values()) for row in found] == [('say "hi", twice', "1"), ("a\r\nb", "NA"), ("c", None)]


def test_empty_lines_among_the_rows_and_quoted_cells_of_a_tsv_are_said(tmp_path, caplog):
    assert len(read(tmp_path, "text,label\na,0\n\n\nb,1\n\n")) == 2
    assert "2 empty lines among the rows of train.csv are passed over" in caplog.text
    assert read(tmp_path, 'text\tlabel\n"say ""hi"""\t0\n"\t1\n', "train.tsv")[0]["text"] == '"say ""hi"""'
    assert "1 cells of train.tsv stand in quotation marks, which are read as text. If they quote" in caplog.text


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_what_a_writer_wrote_is_read(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "train.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    assert [tuple(cell or "" for cell in row.values()) for row in read_table(path)] == rows


@pytest.mark.parametrize(
    "content,message",
    [
        ("sep=;\ntext;label\na;b\n", "first line is Excel's note of its delimiter"),
        ("text,label,,\na,b,,\n", "the columns 3, 4 have no name in the first line"),
    ],
)
def test_what_spreadsheets_leave_in_the_first_line_is_named(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)
