"""The export formats and their registry."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from peftsearch.exports.refusal import WhyNot
from peftsearch.exports.source import Source
from peftsearch.registry import Registry


@dataclass(frozen=True)
class Claim:
    """A claim on results, and who stands against it.

    Args:
        words: after "the result is", such as "plain LoRA".
        why_not: asks a module, which may be on the meta device, why the format cannot hold it.
        holds_rows: whether the format holds trained rows of tokens.
    """

    words: str
    why_not: WhyNot
    holds_rows: bool = True


@dataclass(frozen=True)
class ExportFormat:
    """A format that other tools can load.

    Args:
        name: for `--format`.
        description: one line for `peftsearch list exports`.
        write: writes the files into an empty folder and returns notes for the user; it raises `ExportError` with the
            reasons if the result would not be exact. It may change the source's model.
        reload: loads the written files without our code, to check that outputs are equal; None for formats that only
            other tools can load.
        claim: what runs tell at their start of results that can become this format; None for nothing.
    """

    name: str
    description: str
    write: Callable[[Source, Path], tuple[str, ...]]
    reload: Callable[[Source, Path], nn.Module] | None = None
    claim: Claim | None = None


FORMATS: Registry[ExportFormat] = Registry(
    "export format", package="peftsearch.exports.formats", group="peftsearch.exports"
)


def register_format(entry: ExportFormat) -> ExportFormat:
    """Register a format under its name.

    Raises:
        ValueError: for a name that is taken.

    Example:
        def write(source, folder):
            (folder / "model.txt").write_text(source.name)
            return ("It holds the model's name alone.",)

        register_format(ExportFormat("name", "the name of the pretrained model", write))
    """
    return FORMATS.add(entry.name, entry)
