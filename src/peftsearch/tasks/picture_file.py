"""Open a picture: whole, of the right kind, and in colours that image processors take."""

import base64
import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peftsearch.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

# Suffix -> Pillow's name of the format. Others, which may hold programs or pages, are not opened.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
# No picture of the numbers of pixels that Pillow takes is as large.
_MAX_BYTES = 500_000_000
# What stands before a picture that is its own reference, as in a data URI.
_INLINED = "data:image;base64,"
# What Pillow calls a JPEG file with further pictures behind the first one, as cameras write them.
_SEVERAL = "MPO"
# Modes with more than 8 bits a channel, which a conversion to RGB would cut off.
_DEEP = ("I", "F")


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    Args:
        pixels: of Pillow, in RGB.
        digest: SHA-256 of the file, or of the bytes in a cell.
        kind: the format of its content by Pillow's name, such as "PNG".
    """

    pixels: "Image"
    digest: str
    kind: str


def locate_picture(cell: str, folder: Path, *, column: str, where: str) -> Path:
    """Find the file that a cell names.

    Args:
        cell: a path; a relative one counts from the folder.
        folder: of the table.
        column: of the cell.
        where: the row in words for errors.

    Raises:
        DataError: for a URL, a suffix of no picture, or a file that is not there.
    """
    what = f"{cell!r} in column '{column}' of {where}"
    if "://" in cell or cell.startswith("data:"):
        raise DataError(f"{what} is a URL, but pictures are read from files. Download it, and write its path.")
    path = folder / cell
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{what} is no picture by its suffix. Known: {', '.join(FORMATS)}. Convert or remove it.")
    if not path.is_file():
        raise DataError(f"{what} is not there: '{path}' is no file. Relative paths count from the table's folder.")
    return path


def inline(data: bytes) -> str:
    """The reference of a picture that is in no file: its bytes, written as a text."""
    return _INLINED + base64.b64encode(data).decode("ascii")


def is_inlined(reference: str) -> bool:
    """Whether a reference holds the picture itself, rather than its path."""
    return reference.startswith(_INLINED)


def read_picture(reference: str, *, where: str) -> Picture:
    """Read a picture, upright as its camera noted it, and in RGB; grey ones get three equal channels.

    What is transparent loses that, as in the pipelines of transformers.

    Args:
        reference: the path of the file, or the picture itself, as `inline` writes it.
        where: the picture in words for errors.

    Raises:
        DataError: for a file that is empty, truncated, animated, too large or no picture, that has more than 8 bits a
            channel, or without Pillow.
    """
    require_pillow()
    from PIL import Image, UnidentifiedImageError

    shown = f"The picture {'in the table' if is_inlined(reference) else repr(reference)} ({where})"
    data = _read_bytes(reference, shown)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=tuple(dict.fromkeys(FORMATS.values())))
            kind = _kind_of(image)
            check_kind(image, shown)
            image.load()
            pixels = upright(image)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{shown} is none: its content is not that of {_known()}. Correct or remove it.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{shown} is too large to be opened: {str(error).rstrip('.')}. Scale it down.") from error
    except Exception as error:  # every format of Pillow raises its own for a broken file
        kind = "a picture" if is_inlined(reference) else Path(reference).suffix[1:]
        raise DataError(f"{shown} can't be read as {kind}: {error}. Is it whole? Correct or remove it.") from error
    return Picture(pixels, hashlib.sha256(data).hexdigest(), kind)


def require_pillow() -> None:
    """Check that Pillow is there.

    Raises:
        DataError: if not, with the command that installs it.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DataError(
            "Pictures are read with Pillow. Install it with: pip install 'peftsearch[pictures]'"
        ) from error


def _read_bytes(reference: str, shown: str) -> bytes:
    if is_inlined(reference):
        data = base64.b64decode(reference.removeprefix(_INLINED))
        _check_size(len(data), shown)
        return data
    path = Path(reference)
    try:
        _check_size(path.stat().st_size, shown)
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown} can't be read: {error.strerror or error}.") from error


def _check_size(size: int, shown: str) -> None:
    if not size:
        raise DataError(f"{shown} is an empty file. Correct or remove it.")
    if size > _MAX_BYTES:
        raise DataError(f"{shown} has {size:,} bytes, but at most {_MAX_BYTES:,} are read. Scale it down.")


def upright(image: "Image") -> "Image":
    """A picture in RGB, turned as its camera noted."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image).convert("RGB")


def check_kind(image: "Image", shown: str) -> None:
    """Refuse a picture of which a model would see a part, or other values than there are.

    Args:
        image: of Pillow.
        shown: the picture in words for errors.

    Raises:
        DataError: for an animated picture, and for more than 8 bits a channel.
    """
    # Other pictures beside the one of a camera, such as a preview, are not part of it.
    frames = 1 if image.format == _SEVERAL else getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{shown} is animated: it has {frames} frames. Save one of them, or remove it.")
    # Pillow halves the depth of colours with 16 bits a channel, and tells it only by how it unpacks them.
    unpacked = " ".join(str(tile) for tile in getattr(image, "tile", ()))
    if image.mode.split(";")[0] in _DEEP or ";16" in unpacked:
        raise DataError(
            f"{shown} has more than 8 bits a channel (mode {image.mode} of Pillow), which would be cut off. Convert "
            "it to 8 bits."
        )


def _kind_of(image: "Image") -> str:
    return "JPEG" if image.format == _SEVERAL else str(image.format)


def _known() -> str:
    return ", ".join(dict.fromkeys(FORMATS.values()))
