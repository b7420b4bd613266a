"""A file of JSON lines that a training writes as it runs, and that it goes on with after an interruption."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftsearch.files import storage_errors, write_bytes


class LogFile:
    """Rows of JSON, one a line.

    Args:
        path: of the file; it is made with the first row.
    """

    def __init__(self, path: Path):
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def clear(self) -> None:
        """Forget an earlier training."""
        self.path.unlink(missing_ok=True)

    def state_dict(self) -> int:
        """Its length in bytes, which are on the disk then."""
        if not self.path.exists():
            return 0
        with storage_errors(self.path), self.path.open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size

    def load_state_dict(self, state: int) -> None:
        """Cut off what was written after a checkpoint, and a row that never got to its end."""
        if self.path.exists():
            kept = self.path.read_bytes()[:state]
            write_bytes(self.path, kept[: kept.rfind(b"\n") + 1])
