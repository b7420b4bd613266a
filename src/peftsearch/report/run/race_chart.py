"""The chart of a race: the validation loss of each lane over its steps, and where it left."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from peftsearch.report.charts import INK, MUTED, Chart, new_chart
from peftsearch.report.run.record import RunRecord

# Lanes that are named in the drawing; the table has all.
NUM_NAMED = 3

Rows = list[dict[str, Any]]


def race_charts(record: RunRecord) -> tuple[Chart, ...]:
    """Draw the race of each budget; nothing unless the search was a race."""
    budgets = sorted({row["budget"] for row in record.lanes})
    races = [[row for row in record.lanes if row["budget"] == budget] for budget in budgets]
    # What was found is written when all races are over.
    is_over = len(record.configuration) > 0
    return tuple(_race_chart(rows, budget, is_over=is_over) for budget, rows in zip(budgets, races, strict=True))


def _race_chart(rows: Rows, budget: int, *, is_over: bool) -> Chart:
    lanes = sorted(_lanes(rows), key=lambda lane: (-lane[-1]["step"], _loss(lane[-1])))
    figure, axis = new_chart()
    for place, lane in reversed(list(enumerate(lanes))):
        seen = [row for row in lane if row["loss"] is not None]
        colour = INK if place == 0 else MUTED
        axis.plot([row["step"] for row in seen], [row["loss"] for row in seen], color=colour, marker="o", markersize=3)
    for lane in lanes[:NUM_NAMED]:
        if lane[-1]["loss"] is not None:
            axis.annotate(
                lane[0]["lane"], (lane[-1]["step"], lane[-1]["loss"]), fontsize="small", ha="right", va="top"
            )
    axis.set(xscale="log", xlabel="step", ylabel="validation loss")
    return Chart(
        name=f"race-{budget}",
        title=f"Race within {budget:,} parameters",
        figure=figure,
        header=("lane", "left after step", "validation loss there"),
        rows=tuple(
            (lane[0]["lane"], _end(lane, leads=place == 0, is_over=is_over), _in_words(lane[-1]))
            for place, lane in enumerate(lanes)
        ),
        note=(
            "Each line is a configuration at a learning rate, on the schedule of a whole training; it ends where the "
            f"lane left. The dark one {'won, and its training went on from there' if is_over else 'leads so far'}."
        ),
    )


def _lanes(rows: Rows) -> Iterator[Rows]:
    """The rows of each lane, by step."""
    ordered = sorted(rows, key=lambda row: (row["lane"], row["step"]))
    for _, lane in groupby(ordered, key=lambda row: row["lane"]):
        yield list(lane)


def _end(lane: Rows, *, leads: bool, is_over: bool) -> str:
    """Where a lane left, or was judged last."""
    step = f"{lane[-1]['step']:,}"
    if leads:
        return f"{'won' if is_over else 'leads'}; last judged after {step}"
    return step


def _loss(row: dict[str, Any]) -> float:
    return float("inf") if row["loss"] is None else row["loss"]


def _in_words(row: dict[str, Any]) -> str:
    return "no number" if row["loss"] is None else f"{row['loss']:.4f}"
