"""Style of each module kind, the same in every report: its letters, colour and hatch."""

from zlib import crc32

from peftsearch.report.charts import BLACK, COLOURS, HATCHES

# Index into colours and hatches; a kind that is added gets one from its name, so that no other kind's look changes.
_BUILT_IN = ("bitfit", "ia3", "lnfit", "lora", "low_rank_adapter", "parallel_adapter", "prefix", "serial_adapter")


def code_of(kind: str) -> str:
    """Initials of several words, or the first letters of one: LRA, SA, Lo, Bi."""
    words = kind.split("_")
    return "".join(word[0].upper() for word in words) if len(words) > 1 else kind[:2].capitalize()


def style_index(kind: str) -> int:
    """The kind's place in the colours and hatches, the same in every report."""
    return _BUILT_IN.index(kind) if kind in _BUILT_IN else crc32(kind.encode()) % len(COLOURS)


def kind_colour(kind: str) -> str:
    """The colour of a kind."""
    return COLOURS[style_index(kind)]


def kind_hatch(kind: str) -> str:
    """The hatch of a kind."""
    return HATCHES[style_index(kind)]


def text_on(kind: str) -> str:
    """Choose white or black text, whichever reads better on the colour of a kind."""
    red, green, blue = (int(kind_colour(kind)[i : i + 2], 16) for i in (1, 3, 5))
    return "#fefefe" if 0.299 * red + 0.587 * green + 0.114 * blue < 100 else BLACK
