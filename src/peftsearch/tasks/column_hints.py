"""What to do about tables whose columns have other names than a task looks for."""

from collections.abc import Collection

# The columns that are looked for where the user names none.
_USUAL = ("text", "label")
# Columns that other tools use -> how they are read here.
_KNOWN: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"tokens", "ner_tags"}), "Tags of words are read with --task_format tokens --label ner_tags."),
    (frozenset({"tokens", "pos_tags"}), "Tags of words are read with --task_format tokens --label pos_tags."),
    (
        frozenset({"instruction", "input", "output"}),
        "Join Alpaca's instruction and input to one column, such as 'prompt', and read it with --task_format "
        "instructions --text prompt --label output.",
    ),
    (
        frozenset({"instruction", "output"}),
        "Instructions are read with --task_format instructions --text instruction --label output.",
    ),
)


def hint_of_names(missing: str, columns: Collection[str]) -> str:
    """Say how to name the columns of a table; empty where the user has named the missing one.

    Args:
        missing: column that was looked for.
        columns: that the table has.
    """
    if missing not in _USUAL:
        return ""
    known = [said for names, said in _KNOWN if names <= set(columns)]
    return f" {known[0]}" if known else " Name yours with --text and --label."
