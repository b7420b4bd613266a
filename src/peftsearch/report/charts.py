"""Charts: their common style, and their conversion to SVG and PNG."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

# Colours that people with colour-blindness tell apart (Okabe and Ito, 2008); yellow last, since it is faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#f0e442")
# Beside the colour, so that no difference is shown by colour alone.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "oo", "++")
INK, MUTED, GRID, PAPER = "#1c2127", "#57606a", "#dfe3e8", "#ffffff"
# Of hatches, which lie on the same colours in light and dark.
BLACK = "#010101"

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "font.size": 9.5,
    "grid.color": GRID,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "peftsearch",
    "text.color": INK,
    # Names from data may hold dollar signs.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
_VARIABLES = {
    **{colour: f"--series-{i}" for i, colour in enumerate(COLOURS)},
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
}
_COLOUR = re.compile("|".join(_VARIABLES), re.IGNORECASE)
_ID = re.compile(r'(\bid="|url\(#|href="#)')


@contextmanager
def chart_style() -> Iterator[None]:
    """Set matplotlib's style; draw and save charts inside of the context."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Labels of the data may be of any script. A page has the reader's fonts; only PNGs show boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@dataclass(frozen=True)
class Chart:
    """A drawing with its numbers as text.

    Args:
        name: of its files, and its id in the page.
        title: what it shows.
        figure: the drawing.
        header: names of the columns of its numbers.
        rows: its numbers as text.
        note: how to read it.
    """

    name: str
    title: str
    figure: Figure
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @cached_property
    def svg(self) -> str:
        """The drawing as SVG, with text as text; equal numbers give equal bytes."""
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        # The layout stands; laying out again for the PNG would take as long as drawing.
        self.figure.set_layout_engine("none")
        return buffer.getvalue()

    @property
    def png(self) -> bytes:
        """The drawing as PNG, for slides and chats."""
        buffer, _ = io.BytesIO(), self.svg
        self.figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
        return buffer.getvalue()

    @property
    def inline(self) -> Markup:
        """The drawing as SVG inside of a page, whose style sheet sets the colours; matplotlib has escaped the text."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
        svg = _ID.sub(rf"\g<1>{self.name}-", svg)
        svg = _COLOUR.sub(lambda found: f"var({_VARIABLES[found[0].lower()]}, {found[0]})", svg)
        return Markup(svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))


def new_chart(*, width: float = 4.3, height: float = 2.9) -> tuple[Figure, Axes]:
    """Make an empty drawing, small enough that a phone shows its text in a readable size.

    Args:
        width: in inches.
        height: in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def parameter_axis(axis: Axes, which: str, values: list[float]) -> None:
    """Label an axis with numbers of parameters as 20k or 1.5M; logarithmic where they differ much.

    Args:
        axis: the drawing.
        which: "x" or "y".
        values: numbers of parameters that are drawn; none for a linear axis.
    """
    side = getattr(axis, f"{which}axis")
    if values and min(values) > 0 and max(values) > 5 * min(values):
        axis.set(**{f"{which}scale": "log"})
        side.set_major_locator(LogLocator(subs=(1, 2, 5) if max(values) < 100 * min(values) else (1,)))
        side.set_minor_formatter(NullFormatter())
    elif values and which == "y":
        axis.set_ylim(0, 1.15 * max(values))
    side.set_major_formatter(EngFormatter(sep=""))


def style_of(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th of several series; no two of the first 56 are equal."""
    shift = i // len(COLOURS)
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[(i + shift) % len(MARKERS)]}


def legend_below(figure: Figure, axis: Axes, *, columns: int = 2) -> None:
    """Put the names of the series under the drawing, where they cover nothing."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns)
