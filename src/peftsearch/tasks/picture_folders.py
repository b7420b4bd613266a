"""Folders of pictures as tables: a row for each picture, whose class is the folder that it lies in."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftsearch.errors import DataError
from peftsearch.tasks.picture_file import FORMATS

logger = logging.getLogger(__name__)

# Columns of the table of a folder.
IMAGE, LABEL = "image", "label"
# Names of folders of splits, in the order of the splits.
_SPLITS = (("train",), ("validation", "valid", "val", "dev"), ("test",))
# Files that a message names.
_NAMED = 3


def split_folders(folder: Path) -> list[Path]:
    """The folders of the splits in a folder; the folder itself where it has none.

    Its subfolders are splits if there is a "train" that has folders itself, and all others are "validation" (or
    "valid", "val", "dev") or "test".

    Raises:
        DataError: for two names of one split.
    """
    inner = {path.name: path for path in _visible(folder) if path.is_dir()}
    names = [name for group in _SPLITS for name in group]
    if "train" not in inner or not set(inner) <= set(names) or not any(p.is_dir() for p in _visible(inner["train"])):
        return [folder]
    found = [[inner[name] for name in group if name in inner] for group in _SPLITS]
    twice = next((paths for paths in found if len(paths) > 1), None)
    if twice:
        raise DataError(
            f"The folder '{folder}' has {' and '.join(repr(path.name) for path in twice)}, which are names of one "
            "split. Keep one of them."
        )
    return [path for paths in found for path in paths]


def list_pictures(folder: Path) -> list[dict[str, str]]:
    """List the pictures of a folder and of all folders in it, by their paths.

    Files whose names begin with a point are passed over, and so is every other file that is no picture by its suffix,
    with a warning.

    Args:
        folder: of class folders, or of pictures alone.

    Returns:
        rows of "image", the path from the folder with "/", and "label", the name of the folder that a picture lies
        in; without a label where it lies in the folder itself.

    Raises:
        DataError: for a folder without pictures.
    """
    paths = sorted(_files_in(folder))
    pictures = [path for path in paths if path.suffix.lower() in FORMATS]
    others = [path for path in paths if path.suffix.lower() not in FORMATS]
    if not pictures:
        suffixes = Counter(path.suffix.lower() or "no suffix" for path in others)
        shown = ", ".join(f"{count:,} of {suffix}" for suffix, count in suffixes.most_common(_NAMED))
        raise DataError(
            f"The folder '{folder}' has no pictures ({shown or 'no files'}). Known: {', '.join(FORMATS)}, in a folder "
            "for each class. To read a table, name its file."
        )
    if others:
        logger.warning(
            "%d files in '%s' are no pictures by their suffix and are passed over: %s.",
            len(others),
            folder,
            ", ".join(path.as_posix() for path in others[:_NAMED]),
        )
    return [_row(path) for path in pictures]


def require_class_folders(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Refuse pictures that lie elsewhere than in a class folder right in the folder.

    Args:
        rows: of `list_pictures`.
        folder: that they are of.

    Raises:
        DataError: naming the first such picture.
    """
    wrong = next((row[IMAGE] for row in rows if row[IMAGE].count("/") != 1), None)
    if wrong is not None:
        raise DataError(
            f"The picture '{wrong}' of '{folder}' does not lie in a class folder. Put each picture in a folder of its "
            "class's name, as in cat/1.png, with no folders in it; the folders may lie in train, validation and test."
        )


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _files_in(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        own = Path(place).resolve()
        # Not into a link to a folder that this one lies in, which would have no end.
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not own.is_relative_to(Path(place, name).resolve())
        ]
        found += [Path(place, name).relative_to(folder) for name in names if not name.startswith(".")]
    return found


def _row(path: Path) -> dict[str, str]:
    label = {LABEL: path.parent.name} if path.parent.name else {}
    return {IMAGE: path.as_posix(), **label}
