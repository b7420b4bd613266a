"""A file of JSON lines that a training writes as it runs, and that it goes on with after an interruption."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class LogFile:
    """Rows of JSON, one a line.

    Args:
        path: of the file; it is made with the first row.
    """

    def __init__(self, path: Path):
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def clear(self) -> None:
        """Forget an earlier training."""
        self.path.unlink(missing_ok=True)

    def state(self) -> int:
        """Its length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def load_state(self, state: int) -> None:
        """Cut off what was written after a checkpoint."""
        if self.path.exists() and self.state() > state:
            with self.path.open("r+b") as file:
                file.truncate(state)
