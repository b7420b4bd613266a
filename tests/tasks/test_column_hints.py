import pytest

from peftsearch.tasks.column_hints import hint_of_names


@pytest.mark.parametrize(
    "missing,columns,expected",
    [
        ("text", ["tokens", "ner_tags"], "--task_format tokens --label ner_tags"),
        ("text", ["id", "pos_tags", "tokens"], "--label pos_tags"),
        ("text", ["instruction", "input", "output"], "--text prompt --label output"),
        ("text", ["instruction", "output"], "--text instruction --label output"),
        ("label", ["text", "category"], "Name yours with --text and --label."),
    ],
)
def test_the_usual_columns_of_other_tools_are_known(missing, columns, expected):
    assert expected in hint_of_names(missing, columns)


def test_a_column_that_the_user_named_needs_no_hint():
    assert hint_of_names("body", ["tokens", "ner_tags"]) == ""
