"""Open text files as they were written: their encoding, their delimiter, and whether they are compressed."""

import codecs
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

from peftsearch.errors import DataError

UTF_8 = "utf-8-sig"
# What shells can't easily pass.
_WORDS = {"\\t": "\t", "tab": "\t"}


@dataclass(frozen=True)
class TextReading:
    r"""How text files are read.

    Args:
        delimiter: one character between the cells of csv, tsv and conll files, "\t" or "tab" for a tab; empty for a
            comma in csv, a tab in tsv and spaces and tabs in conll files.
        encoding: of text files, by a name that Python knows; "utf-8-sig" is UTF-8 with or without a byte-order mark.

    Raises:
        DataError: for a delimiter that is not one character, or an encoding that Python does not know.
    """

    delimiter: str = ""
    encoding: str = UTF_8

    def __post_init__(self) -> None:
        if len(self.character) > 1 or self.character in ('"', "\n", "\r"):
            raise DataError(
                f"delimiter is {self.delimiter!r}, but must be one character such as ';', or '\\t' for a tab, and no "
                "quotation mark or line break."
            )
        try:
            "".encode(self.encoding)
        except (LookupError, UnicodeError) as error:
            raise DataError(
                f"encoding is '{self.encoding}', which is none of a text that Python knows ({error}). Give a name "
                "such as utf-8, utf-16, cp1252 or shift_jis."
            ) from error

    @property
    def character(self) -> str:
        """The delimiter itself; empty for that of the format."""
        return _WORDS.get(self.delimiter, self.delimiter)

    def open(self, path: Path) -> TextIO:
        """Open a file, or a compressed one, with line breaks as they are written."""
        if is_compressed(path):
            return cast(TextIO, gzip.open(path, "rt", encoding=self.encoding, newline=""))
        return path.open(encoding=self.encoding, newline="")

    def describe(self, path: Path, error: UnicodeError) -> str:
        """Say where a file that was opened is not text of the encoding.

        Args:
            path: of the file.
            error: that was met, whose place counts from wherever the reading was.
        """
        shown = "UTF-8" if self.encoding == UTF_8 else self.encoding
        data = gzip.decompress(path.read_bytes()) if is_compressed(path) else path.read_bytes()
        advice = "Name its encoding with --encoding, such as cp1252 or utf-16, or convert it to UTF-8."
        try:
            data.decode(self.encoding)
        except UnicodeDecodeError as found:
            # The decoder of utf-8-sig counts from after the mark.
            start = found.start + (len(codecs.BOM_UTF8) if _has_mark(data, self.encoding) else 0)
            line = data[:start].decode(self.encoding, errors="ignore").count("\n") + 1
            return f"'{path}' is not {shown} text: byte 0x{data[start]:02x} in line {line}. {advice}"
        except UnicodeError as found:
            error = found
        return f"'{path}' is not {shown} text ({error}). {advice}"


def _has_mark(data: bytes, encoding: str) -> bool:
    return encoding == UTF_8 and data.startswith(codecs.BOM_UTF8)


def is_utf_8(path: Path) -> bool:
    """Whether a text file can be read as UTF-8, which files in other encodings hardly ever can but for plain ASCII."""
    try:
        with TextReading().open(path) as file:
            return not any("\0" in line for line in file)
    except (OSError, EOFError, ValueError, zlib.error):
        return False


def is_compressed(path: Path) -> bool:
    """Tell whether a file is compressed, by its extension .gz."""
    return path.suffix.lower() == ".gz"
