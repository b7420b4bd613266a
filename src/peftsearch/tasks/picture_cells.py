"""Cells that hold a picture: its path, its bytes, a struct of both as `datasets` saves it, or a picture of Pillow."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from peftsearch.errors import DataError
from peftsearch.tasks.cells import read_value, show_cell
from peftsearch.tasks.picture_file import FORMATS, check_kind, inline, locate_picture, upright
from peftsearch.tasks.tables import Row

if TYPE_CHECKING:
    from PIL.Image import Image

# Keys of the struct.
_BYTES, _PATH = "bytes", "path"


def holds_picture(cell: object) -> bool:
    """Tell whether a cell holds a picture, or names one by its suffix."""
    path = path_of(cell)
    if path is not None:
        return Path(path).suffix.lower() in FORMATS
    return isinstance(cell, bytes) or _is_of_pillow(cell) or (isinstance(cell, Mapping) and _BYTES in cell)


def path_of(cell: object) -> str | None:
    """The path that a cell names; None for one that holds the picture itself, or anything else."""
    if isinstance(cell, Mapping) and cell.get(_BYTES) is None:
        cell = cell.get(_PATH)
    return cell if isinstance(cell, str) else None


def read_reference(row: Row, column: str, folder: Path, *, where: str) -> str:
    """Read a cell as a text from which `read_picture` gets the picture: a path, or the picture itself.

    Args:
        row: one row of a table.
        column: of the pictures.
        folder: from which relative paths count.
        where: the row in words for errors.

    Raises:
        DataError: if the cell is null or holds no picture, or one that cannot be read.
    """
    cell = read_value(row, column, what="picture", where=where)
    path = path_of(cell)
    if path is not None:
        return str(locate_picture(path, folder, column=column, where=where))
    data = cell.get(_BYTES) if isinstance(cell, Mapping) else cell
    if isinstance(data, bytes):
        return inline(data)
    if _is_of_pillow(data):
        return inline(_as_png(data, where))
    raise DataError(
        f"The picture in column '{column}' is {show_cell(cell)} in {where}, but must be a path, its bytes, a struct "
        "of 'bytes' and 'path' as the datasets library saves it, or a picture of Pillow."
    )


def _is_of_pillow(cell: object) -> TypeGuard["Image"]:
    # Whoever has such a picture has imported its module.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(cell, module.Image)


def _as_png(picture: "Image", where: str) -> bytes:
    """The file of a picture of Pillow, without loss."""
    shown = f"The picture of Pillow in {where}"
    check_kind(picture, shown)
    buffer = io.BytesIO()
    try:
        upright(picture).save(buffer, format="PNG")
    except Exception as error:  # every format of Pillow raises its own for a broken file
        raise DataError(f"{shown} can't be read: {error}. Is its file whole? Correct or remove it.") from error
    return buffer.getvalue()
