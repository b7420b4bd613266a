"""The texts of examples in tables of mistakes: a column for each field."""

from collections.abc import Sequence

from peftsearch.tasks.quoting import quote
from peftsearch.tasks.task import Example


def field_names(examples: Sequence[Example]) -> tuple[str, ...]:
    """Names of the columns: the labels of the fields without their colons."""
    return tuple(label.removesuffix(":") for label, _ in examples[0].fields) if examples else ()


def quoted_fields(example: Example) -> tuple[str, ...]:
    """The text of each field of an example, shortened."""
    return tuple(quote(text) for _, text in example.fields)
