"""Where predictions of a split are wrong, as plain data that pages show and `errors.json` holds.

Each task format makes one by `TaskFormat.describe_errors`. What quotes the data, a text or a file's name, stands in
`quotes` alone: the page of a run shows it, while the model card and everything that is published leave it out.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ErrorTable:
    """Text in columns.

    Args:
        caption: what it shows.
        header: names of the columns.
        rows: as long as the header.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class CountMatrix:
    """How often each label was predicted for each.

    Args:
        labels: names, at most a dozen, since the whole matrix is drawn.
        counts: examples or words, a row for each true label and in it a column for each predicted one.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class NumberPairs:
    """Predicted numbers beside the true ones, at most some hundreds, since each is drawn.

    Args:
        true: in the unit of the labels, ascending.
        predicted: for the same examples.
    """

    true: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class ErrorReport:
    """What is known of the errors; all parts may be empty.

    Args:
        text: sentences, without anything of the data, so that they may be published.
        matrix: of labels; None for tasks without, or with too many to draw.
        numbers: of a regression; None for other tasks.
        tables: without anything of the data but names of labels, so that they may be published.
        quotes: tables that quote the data, their texts shortened by `quote`; shown on the page of the run alone.
    """

    text: tuple[str, ...] = ()
    matrix: CountMatrix | None = None
    numbers: NumberPairs | None = None
    tables: tuple[ErrorTable, ...] = ()
    quotes: tuple[ErrorTable, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return self == ErrorReport()

    def without_data(self) -> "ErrorReport":
        """The same without quotes and single numbers of the data, to be published."""
        return replace(self, numbers=None, quotes=())
