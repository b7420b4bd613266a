"""Progress over the runs of a comparison."""

from collections.abc import Sequence
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from peftsearch.comparison.runs import ComparedRun, RunGroup, count_done
from peftsearch.training.progress import open_progress


class ComparisonProgress:
    """Progress bar of finished runs, with the names of running ones and the last score.

    Args:
        groups: every group of the comparison.
    """

    def __init__(self, groups: Sequence[RunGroup]):
        self.runs = [run for group in groups for run in group.runs]
        self.progress = open_progress("compare", unit="run", total=len(self.runs), done=count_done(groups))
        # Log messages appear above the bar.
        self._messages = logging_redirect_tqdm()
        self._known = {run.folder for run in self.runs if run.is_done}

    def __enter__(self) -> "ComparisonProgress":
        self._messages.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._messages.__exit__(*error)
        self.progress.close()

    def started(self, run: ComparedRun) -> None:
        """Name the run that begins."""
        self.progress.rename(run.name)

    def finished(self, run: ComparedRun) -> None:
        """Count a run and show its score."""
        self._known.add(run.folder)
        score = run.read_results().test.mean_text if run.is_finished else "failed"
        self.progress.show({"last": f"{run.name}: {score}"})
        self.progress.update()

    def look(self, running: Sequence[str]) -> None:
        """Count the runs that other processes have finished since the last call.

        Args:
            running: names of the groups in progress.
        """
        for run in self.runs:
            if run.folder not in self._known and run.is_done:
                self.finished(run)
        self.progress.rename("; ".join(running) or "compare")
