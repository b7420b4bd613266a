"""The section of a run's page, and of its card, on where the result is wrong."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.patches import Rectangle

from peftsearch.report.charts import COLOURS, INK, Chart, new_chart
from peftsearch.report.page import Section, TextTable
from peftsearch.report.run.error_record import ErrorRecord
from peftsearch.tasks.error_report import CountMatrix, ErrorTable, NumberPairs
from peftsearch.tasks.written_number import write_number

# Parts of the numbers that a chart sums up in words.
_PARTS = 5
# Opacity of the fullest cell, on which text stays readable in light and dark.
_FULL = 0.65
# Characters of a name beside a drawing.
_NAME = 18
# Longer ones are turned below a drawing.
_SHORT = 4


def error_section(record: ErrorRecord) -> Section | None:
    """The section of a page; None where nothing is known of the errors."""
    errors = record.errors
    if errors.is_empty:
        return None
    about = f"Predictions of {describe_errors(record)}."
    texts = tuple(TextTable(one.caption, one.header, one.rows, has_texts=True) for one in errors.quotes)
    quoted = ("Texts are shortened. They stand on this page alone, and are not on the model card or the hub.",)
    return Section(
        "errors",
        "Where it is wrong",
        (about, *errors.text, *(quoted if texts else ())),
        charts=(
            *([_matrix_chart(errors.matrix)] if errors.matrix else []),
            *([_number_chart(errors.numbers)] if errors.numbers else []),
        ),
        tables=(*map(_as_text_table, errors.tables), *texts),
    )


def describe_errors(record: ErrorRecord) -> str:
    """Say whose predictions they are, in words after "of"."""
    handed = f"what was handed over ({record.name}, seed {record.seed})"
    return f"{handed} for the {record.examples:,} examples of the test split"


def tables_to_publish(record: ErrorRecord) -> tuple[TextTable, ...]:
    """The tables for the card, which quote nothing of the data; the matrix of few labels first."""
    errors = record.errors.without_data()
    matrix = [_matrix_table(errors.matrix)] if errors.matrix else []
    return (*matrix, *map(_as_text_table, errors.tables))


def _as_text_table(table: ErrorTable) -> TextTable:
    return TextTable(table.caption, table.header, table.rows)


def _matrix_table(matrix: CountMatrix) -> TextTable:
    rows = tuple((name, *map(str, row)) for name, row in zip(matrix.labels, matrix.counts, strict=True))
    return TextTable("How often each label (row) was predicted as each (column)", ("true", *matrix.labels), rows)


def _matrix_chart(matrix: CountMatrix) -> Chart:
    """Draw the matrix, each row shaded by its shares."""
    number = len(matrix.labels)
    figure, axis = new_chart(height=1.4 + 0.32 * number)
    for y, row in enumerate(matrix.counts):
        for x, count in enumerate(row):
            shade = {"facecolor": COLOURS[0], "alpha": _FULL * count / max(1, sum(row)), "linewidth": 0}
            axis.add_patch(Rectangle((x, y), 1, 1, **shade))
            axis.text(x + 0.5, y + 0.5, f"{count}", ha="center", va="center", fontsize=7)
    places, names = [i + 0.5 for i in range(number)], [_shorten(name) for name in matrix.labels]
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(places, names, **(turned if max(map(len, names)) > _SHORT else {}))
    axis.set_yticks(places, names)
    axis.tick_params(length=0, labelsize=8)
    axis.set(xlim=(0, number), ylim=(number, 0), xlabel="predicted", ylabel="true")
    axis.grid(False)
    table = _matrix_table(matrix)
    note = "A cell is the number of examples or words; its shade is the share of its row."
    return Chart("errors-matrix", "Confusion matrix", figure, table.header, table.rows, note)


def _number_chart(numbers: NumberPairs) -> Chart:
    """Draw predicted against true numbers."""
    figure, axis = new_chart(height=3.4)
    ends = [min(numbers.true), max(numbers.true)]
    axis.plot(ends, ends, color=INK, linestyle="--", linewidth=1)
    axis.plot(numbers.true, numbers.predicted, "o", color=COLOURS[0], markersize=3, alpha=0.5)
    axis.set(xlabel="true", ylabel="predicted")
    header = ("true numbers", "examples", "mean true", "mean predicted", "mean absolute error")
    note = "A dot is an example; on the dashed line predictions are right."
    return Chart("errors-numbers", "Predicted against true", figure, header, _summed_up(numbers), note)


def _summed_up(numbers: NumberPairs) -> tuple[tuple[str, ...], ...]:
    """Means over parts of about equal size, by the true numbers."""
    count = len(numbers.true)
    cuts = [round(i * count / _PARTS) for i in range(_PARTS + 1)]
    parts = [range(first, last) for first, last in pairwise(cuts) if first < last]
    return tuple(_summed_up_part([numbers.true[i] for i in p], [numbers.predicted[i] for i in p]) for p in parts)


def _summed_up_part(true: Sequence[float], predicted: Sequence[float]) -> tuple[str, ...]:
    number = len(true)
    error = sum(abs(p - t) for t, p in zip(true, predicted, strict=True)) / number
    means = (sum(true) / number, sum(predicted) / number, error)
    between = f"{write_number(true[0], 4)} to {write_number(true[-1], 4)}"
    return (between, str(number), *(write_number(mean, 4) for mean in means))


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
