"""Quote texts of the data: on one line, short, and without characters that change what stands around them."""

import unicodedata

# Characters of a quoted text.
_LONGEST = 200
# Marks that turn the direction of the text after them.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACEMENT = "\ufffd"


def quote(text: str, *, longest: int = _LONGEST) -> str:
    """Shorten a text for a cell of a table; whoever writes HTML or Markdown still escapes it.

    White space of all sorts becomes single spaces. Control characters, halves of surrogate pairs and marks that turn
    the direction of the text become U+FFFD.

    Args:
        text: any.
        longest: characters that are kept, an ellipsis at the end of a cut text included.
    """
    # More than enough characters, since a text can have megabytes.
    line = " ".join(text[: 20 * longest].split())
    is_cut = len(line) > longest or len(text) > 20 * longest
    return f"{_harmless(line[: longest - 1]).rstrip()}…" if is_cut else _harmless(line)


def quote_end(text: str, *, longest: int = _LONGEST) -> str:
    """Shorten a text as `quote` does, but keep its end."""
    line = " ".join(text[-20 * longest :].split())
    is_cut = len(line) > longest or len(text) > 20 * longest
    return f"…{_harmless(line[1 - longest :]).lstrip()}" if is_cut else _harmless(line)


def _harmless(line: str) -> str:
    return "".join(_REPLACEMENT if _is_harmful(character) else character for character in line)


def _is_harmful(character: str) -> bool:
    return character in _TURNS or unicodedata.category(character) in ("Cc", "Cs")
