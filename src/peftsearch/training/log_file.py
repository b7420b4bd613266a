"""The log of a training: a file of JSON lines, cut back to the last checkpoint when the training is resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftsearch.files import append_row, cut_rows, flush


class LogFile:
    """Rows of JSON, one a line.

    Args:
        path: of the file; it is made with the first row.
    """

    def __init__(self, path: Path):
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        append_row(self.path, row)

    def clear(self) -> None:
        """Delete the file of an earlier training."""
        self.path.unlink(missing_ok=True)

    def state_dict(self) -> int:
        """Length of the file in bytes, after it was flushed to the disk."""
        if not self.path.exists():
            return 0
        flush(self.path)
        return self.path.stat().st_size

    def load_state_dict(self, state: int) -> None:
        """Cut off rows written after a checkpoint, and an incomplete last row."""
        cut_rows(self.path, num_bytes=state)
