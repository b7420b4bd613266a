"""Write an export, and leave nothing behind if it is not exact."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from peftsearch.errors import ExportError
from peftsearch.exports.equality import check_equal, outputs
from peftsearch.exports.export_format import FORMATS
from peftsearch.exports.lora.form import read_rows
from peftsearch.exports.source import Source
from peftsearch.files import new_folder

# The file that marks a folder as an export, which may be overwritten.
MARKER = "export.json"
# Tokens with rows of their own that are read, beside the random ones, when outputs are compared.
_CHECKED_TOKENS = 16
_PACKAGES = ("peftsearch", "torch", "transformers", "peft")


@dataclass(frozen=True)
class Export:
    """A written export.

    Args:
        format: name of the format.
        folder: the folder with its files.
        notes: notes for the user.
        difference: largest difference between its outputs and the adapter's; None if only other tools can load it.
    """

    format: str
    folder: Path
    notes: tuple[str, ...]
    difference: float | None


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Check that an export may be written to a folder.

    Args:
        folder: it need not exist.
        overwrite: whether an earlier export may be replaced.

    Raises:
        ExportError: unless the folder is missing or empty, or holds an earlier export that may be replaced.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise ExportError(f"The output '{folder}' exists. Replace it with --overwrite, or give another --output.")
    if not (folder / MARKER).is_file():
        raise ExportError(
            f"'{folder}' does not hold an export (it has no {MARKER}), so --overwrite leaves it alone. "
            "Give another --output."
        )


def write_export(source: Source, name: str, folder: Path) -> Export:
    """Write a source in a format, load it again, and compare its outputs with the source's.

    Args:
        source: the trained model, which may be changed.
        name: name of the format.
        folder: one that `check_target` allows.

    Raises:
        UnknownNameError: for a format that is not registered.
        ExportError: with the reasons if the result would not be exact; nothing is left behind.
    """
    entry = FORMATS[name]
    # Rows of tokens that nobody reads would differ unseen.
    tokens = sorted({index for rows in read_rows(source).values() for index in rows.indices})[:_CHECKED_TOKENS]
    expected = outputs(source.model, after=tokens)
    with new_folder(folder) as new:
        notes = entry.write(source, new)
        difference = None
        if entry.reload is not None:
            difference = check_equal(expected, outputs(entry.reload(source, new), after=tokens), what=name)
        document = {"format": name, "model": source.name, "versions": {p: version(p) for p in _PACKAGES}}
        (new / MARKER).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return Export(name, folder, (*source.notes, *notes), difference)
