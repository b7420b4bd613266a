"""How tags mark spans: which of BIO, IOB1, IOBES, BILOU and BMES a table's tags are, or that they mark none."""

import logging
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from peftsearch.tasks.splits import shorten

logger = logging.getLogger(__name__)

OUTSIDE = "O"
_MARKED = re.compile(r"([BIESLUMW])-(.+)", re.DOTALL)
_MEANINGS = {
    "BIO": "B- begins each span",
    "IOB1": "I- begins a span, and B- only one right after another of its type",
    "IOBES": "B- begins a span, E- ends it, and S- is one of a single word",
    "BILOU": "B- begins a span, L- ends it, and U- is one of a single word",
    "BMES": "B- begins a span, M- goes on with it, E- ends it, and S- or W- is one of a single word",
}
# Schemes that have a mark for the end, with their marks; the first that has all marks of the tags is theirs.
_WITH_ENDS = {"IOBES": "BIES", "BILOU": "BILU", "BMES": "BMESW"}
# Marks of other schemes as those of IOBES, which seqeval reads.
_AS_IOBES = {"L": "E", "U": "S", "M": "I", "W": "S"}
# What looks like a mark before or after a type.
_LOOKS_MARKED = re.compile(r"[BIESLUMW][-_].+|.+[-_][BIESLUMW]", re.DOTALL)


def has_spans(tags: Iterable[str]) -> bool:
    """Whether tags mark spans: each is O, or a mark of one scheme, "-" and a type, and there is at least one type."""
    return _marks_of(tags) is not None


def _marks_of(tags: Iterable[str]) -> set[str] | None:
    """The marks of tags that mark spans by a known scheme; None for others."""
    found = [_MARKED.fullmatch(tag) for tag in tags if tag != OUTSIDE]
    marks = {match[1] for match in found if match}
    is_known = any(marks <= set(known) for known in _WITH_ENDS.values())
    return marks if found and all(found) and is_known else None


def adds_a_mark(tag: str, known: Set[str]) -> bool:
    """Whether a tag is another mark of a type that tags which mark spans have, by the same scheme."""
    found = _MARKED.fullmatch(tag)
    types = {match[2] for one in known if (match := _MARKED.fullmatch(one))}
    return found is not None and found[2] in types and has_spans({*known, tag})


def as_iobes(tag: str) -> str:
    """A tag of any known scheme with the marks of IOBES."""
    return _AS_IOBES.get(tag[0], tag[0]) + tag[1:] if _MARKED.fullmatch(tag) else tag


def by_type(tag: str) -> tuple[str, str]:
    """A key that sorts the tags of a type side by side."""
    found = _MARKED.fullmatch(tag)
    return (found[2] if found else tag, tag)


@dataclass(frozen=True)
class _Beginnings:
    """Spans that begin with B- and with I-, where no span of their type stands before them.

    Args:
        with_b: number of those with B-.
        with_i: number of those with I-.
        first_with_i: the row of the first of these; -1 if there are none.
    """

    with_b: int
    with_i: int
    first_with_i: int


def scheme_of(rows: Sequence[Sequence[str]]) -> str:
    """Recognise the scheme of tags by those of all rows.

    Args:
        rows: the tags of each row.

    Returns:
        "BIO", "IOB1", "IOBES", "BILOU" or "BMES"; "" where the tags mark no spans. Where some spans begin with B- and
        some with I-, the tags are BIO.
    """
    marks = _marks_of({tag for row in rows for tag in row})
    if marks is None:
        return ""
    if not marks <= set("BI"):
        return next(scheme for scheme, known in _WITH_ENDS.items() if marks <= set(known))
    found = _beginnings(rows)
    return "IOB1" if found.with_i and not found.with_b else "BIO"


def tell_scheme(rows: Sequence[Sequence[str]], *, source: str, places: Sequence[str]) -> None:
    """Log which scheme tags are of, and warn of spans that do not begin as it says.

    Args:
        rows: as for `scheme_of`.
        source: the table in words.
        places: each row in words.
    """
    scheme = scheme_of(rows)
    if not scheme:
        _tell_no_spans({tag for row in rows for tag in row}, source)
        return
    logger.info("The tags of %s are %s: %s.", source, scheme, _MEANINGS[scheme])
    found = _beginnings(rows)
    if scheme == "BIO" and found.with_i:
        logger.warning(
            "%d of %d spans of %s begin with I-, first in %s; they count as spans all the same. Correct them if they "
            "are mistakes.",
            *(found.with_i, found.with_i + found.with_b, source, places[found.first_with_i]),
        )


def _tell_no_spans(tags: Set[str], source: str) -> None:
    """Say that words count by themselves; warn where the tags look like spans of a scheme that is not known."""
    logger.info(
        "The tags of %s mark no spans (%s), so each word's tag counts by itself.", source, ", ".join(_MEANINGS)
    )
    others = sorted(tags - {OUTSIDE})
    if OUTSIDE in tags and others and all(_LOOKS_MARKED.fullmatch(tag) for tag in others):
        logger.warning(
            "The tags of %s look as if they marked spans, but by none of the schemes that are known: %s. If they do, "
            "write them as B-TYPE and I-TYPE, so that whole spans are scored.",
            source,
            shorten(others),
        )


def _beginnings(rows: Sequence[Sequence[str]]) -> _Beginnings:
    counts, first = {"B": 0, "I": 0}, -1
    for i, row in enumerate(rows):
        for before, tag in zip([OUTSIDE, *row], row):
            if tag[:2] in ("B-", "I-") and (before == OUTSIDE or before[2:] != tag[2:]):
                counts[tag[0]] += 1
                first = i if first < 0 and tag[0] == "I" else first
    return _Beginnings(counts["B"], counts["I"], first)
