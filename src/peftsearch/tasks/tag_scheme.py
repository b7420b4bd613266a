"""How tags mark spans: which of BIO, IOB1 and IOBES a table's tags are, or that they mark none."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

OUTSIDE = "O"
_MARKED = re.compile(r"([BIES])-(.+)", re.DOTALL)
_MEANINGS = {
    "BIO": "B- begins each span",
    "IOB1": "I- begins a span, and B- only one right after another of its type",
    "IOBES": "B- begins a span, E- ends it, and S- is one of a single word",
}


def has_spans(tags: Iterable[str]) -> bool:
    """Whether tags mark spans: each is O, or B-, I-, E- or S- and a type, and there is at least one type."""
    marked = [tag for tag in tags if tag != OUTSIDE]
    return bool(marked) and all(_MARKED.fullmatch(tag) for tag in marked)


def by_type(tag: str) -> tuple[str, str]:
    """A key that sorts the tags of a type side by side."""
    found = _MARKED.fullmatch(tag)
    return (found[2] if found else tag, tag)


@dataclass(frozen=True)
class _Beginnings:
    """Spans that begin with B- and with I-, where no span of their type stands before them."""

    with_b: int = 0
    with_i: int = 0


def scheme_of(rows: Sequence[Sequence[str]]) -> str:
    """Recognise the scheme of tags by those of all rows.

    Args:
        rows: the tags of each row.

    Returns:
        "BIO", "IOB1" or "IOBES"; "" where the tags mark no spans. Where some spans begin with B- and some with I-, the
        tags are BIO.
    """
    tags = {tag for row in rows for tag in row}
    if not has_spans(tags):
        return ""
    if any(tag.startswith(("E-", "S-")) for tag in tags):
        return "IOBES"
    found = _beginnings(rows)
    return "IOB1" if found.with_i and not found.with_b else "BIO"


def tell_scheme(rows: Sequence[Sequence[str]], *, source: str) -> None:
    """Log which scheme tags are of, and warn of spans that do not begin as it says.

    Args:
        rows: as for `scheme_of`.
        source: the table in words.
    """
    scheme = scheme_of(rows)
    if not scheme:
        logger.info("The tags of %s mark no spans (BIO, IOB1, IOBES), so each word's tag counts by itself.", source)
        return
    logger.info("The tags of %s are %s: %s.", source, scheme, _MEANINGS[scheme])
    found = _beginnings(rows)
    if scheme == "BIO" and found.with_i:
        logger.warning(
            "%d of %d spans of %s begin with I-; they count as spans all the same. Correct them if they are mistakes.",
            found.with_i,
            found.with_i + found.with_b,
            source,
        )


def _beginnings(rows: Sequence[Sequence[str]]) -> _Beginnings:
    counts = {"B": 0, "I": 0}
    for row in rows:
        for before, tag in zip([OUTSIDE, *row], row):
            if tag[:2] in ("B-", "I-") and (before == OUTSIDE or before[2:] != tag[2:]):
                counts[tag[0]] += 1
    return _Beginnings(counts["B"], counts["I"])
