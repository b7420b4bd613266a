"""Pictures as a model reads them: decoded when they are asked for, and kept as far as memory goes.

A picture of 224 x 224 takes 600 KB as float32 and perhaps 20 KB as a file. So a small data set is decoded once, and of
one that is larger than the bound the rest is decoded in every pass, which costs milliseconds a picture. They are kept
as the image processor makes them, since no order of its steps is the same in all processors.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from peftsearch.tasks.encoded import EncodedDataset

# Of each split; then further pictures are decoded again in every pass.
MAX_BYTES = 2**30


class EncodedPictures(EncodedDataset):
    """A data set of pictures; an item is a dict of `pixel_values` (channels, height, width), `labels` and `length`.

    Args:
        references: of the pictures, as `read_picture` takes them.
        labels: the class of each picture.
        read: makes what the model reads of the picture of a reference.
        max_bytes: of pictures that are kept in memory.
    """

    def __init__(
        self,
        references: Sequence[str],
        labels: Sequence[int],
        read: Callable[[str], Tensor],
        *,
        max_bytes: int = MAX_BYTES,
    ):
        super().__init__({}, labels)
        self._references, self._read, self._max_bytes = list(references), read, max_bytes
        self._kept: dict[int, Tensor] = {}
        self._num_bytes = 0

    @property
    def lengths(self) -> list[int]:
        """1 for each picture, since all are of one size."""
        return [1] * len(self._references)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Get a picture and its label.

        Raises:
            DataError: for a picture that can no longer be read.
        """
        return {"pixel_values": self._pixels(index), "labels": self._labels[index], "length": 1}

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled for a worker, which decodes for itself."""
        return vars(self) | {"_kept": {}, "_num_bytes": 0}

    def _pixels(self, index: int) -> Tensor:
        if index in self._kept:
            return self._kept[index]
        pixels = self._read(self._references[index])
        if self._num_bytes + pixels.nbytes <= self._max_bytes:
            self._kept[index] = pixels
            self._num_bytes += pixels.nbytes
        return pixels
