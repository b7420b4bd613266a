"""Progress over the cells of a comparison."""

from collections.abc import Sequence
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from peftsearch.comparison.runs import Cell, Unit, count_done
from peftsearch.run.folder import read_json
from peftsearch.training.progress import open_progress


class Progress:
    """Cells done, the ones that run, and the last score.

    Args:
        units: all units of the comparison.
    """

    def __init__(self, units: Sequence[Unit]):
        self.cells = [cell for unit in units for cell in unit.cells]
        self.progress = open_progress("compare", unit="run", total=len(self.cells), done=count_done(units))
        # Log messages appear above the bar.
        self._messages = logging_redirect_tqdm()
        self._known = {cell.folder for cell in self.cells if cell.is_done}

    def __enter__(self) -> "Progress":
        self._messages.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._messages.__exit__(*error)
        self.progress.close()

    def started(self, cell: Cell) -> None:
        """Name the cell that runs."""
        self.progress.rename(cell.name)

    def finished(self, cell: Cell) -> None:
        """Count a cell and show its score."""
        self._known.add(cell.folder)
        score = f"{read_json(cell.results)['test']['value']:.2f}" if cell.is_finished else "failed"
        self.progress.show({"last": f"{cell.name}: {score}"})
        self.progress.update()

    def look(self, running: Sequence[str]) -> None:
        """Count what others have finished since the last look.

        Args:
            running: names of the units that run.
        """
        for cell in self.cells:
            if cell.folder not in self._known and cell.is_done:
                self.finished(cell)
        self.progress.rename("; ".join(running) or "compare")
