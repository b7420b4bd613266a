"""A file of JSON lines that a training writes as it runs, and that it goes on with after an interruption."""

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
        """Forget an earlier training."""
        self.path.unlink(missing_ok=True)

    def state_dict(self) -> int:
        """Its length in bytes, which are on the disk then."""
        if not self.path.exists():
            return 0
        flush(self.path)
        return self.path.stat().st_size

    def load_state_dict(self, state: int) -> None:
        """Cut off what was written after a checkpoint, and a row that never got to its end."""
        cut_rows(self.path, num_bytes=state)
