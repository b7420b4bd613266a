"""The export formats and the registry that finds them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from peftsearch.exports.source import Source
from peftsearch.registry import Registry


@dataclass(frozen=True)
class ExportFormat:
    """A form in which other tools take a result.

    Args:
        name: for `--format`.
        description: one line for `peftsearch list exports`.
        write: writes the files into an empty folder and returns what the user should know; raises `ExportError` with
            the reasons where the result cannot be exact. It may change the source's model.
        reload: loads what was written without our code, for the proof that outputs are equal; None for formats that
            only other tools can load.
    """

    name: str
    description: str
    write: Callable[[Source, Path], tuple[str, ...]]
    reload: Callable[[Source, Path], nn.Module] | None = None


FORMATS: Registry[ExportFormat] = Registry(
    "export format", package="peftsearch.exports.formats", group="peftsearch.exports"
)


def register_format(entry: ExportFormat) -> ExportFormat:
    """Make a format known by its name.

    Raises:
        ValueError: for a name that is taken.
    """
    return FORMATS.add(entry.name, entry)
