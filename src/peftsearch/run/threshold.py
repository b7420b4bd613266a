"""The threshold of several labels in the record of a run: chosen on validation, used by all that answers."""

from dataclasses import replace
from pathlib import Path

from peftsearch.report.results import Results
from peftsearch.run.folder import read_json


def with_threshold(results: Results, threshold: float | None) -> Results:
    """Note a threshold in results, in how the task is read and as a sentence for the user; without one as they are.

    Args:
        results: of a run.
        threshold: least probability that gives a label.
    """
    if threshold is None or results.reading is None:
        return results
    note = (
        f"A text gets each label whose probability is at least {threshold:.4g}: the threshold with the best micro F1 "
        "on the validation split, whose own scores are therefore a little too good."
    )
    return replace(results, reading=replace(results.reading, threshold=threshold), notes=(*results.notes, note))


def read_threshold(run: Path) -> float | None:
    """The threshold that a finished run notes; None for tasks without one.

    Args:
        run: the run folder.
    """
    return (read_json(run / "results.json").get("reading") or {}).get("threshold")
