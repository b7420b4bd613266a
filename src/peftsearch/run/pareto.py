"""The Pareto front of a search by trials: those that no other trial beats in both parameters and score."""

import logging
from collections.abc import Sequence
from pathlib import Path

from peftsearch.files import write_json
from peftsearch.report.result_parts import FrontEntry
from peftsearch.run.folder import read_json
from peftsearch.run.recipe import FreshModules
from peftsearch.run.train import TrainingStage
from peftsearch.searches.trial_driver import configuration_of, to_row
from peftsearch.searches.trials import Trial, pareto_front

logger = logging.getLogger(__name__)


def write_front(trials: Sequence[Trial], folder: Path) -> None:
    """Write `search/pareto.json`: rows of `search/trials.jsonl`, by ascending parameters.

    Args:
        trials: every trial of the search, in order.
        folder: the run folder.
    """
    numbers = {id(trial): number for number, trial in enumerate(trials)}
    rows = [to_row(numbers[id(trial)], trial) for trial in pareto_front(trials)]
    write_json(folder / "search" / "pareto.json", rows)


def train_front(stage: TrainingStage, *, method: str) -> tuple[FrontEntry, ...]:
    """Train every configuration of the front, from the smallest to the largest.

    Args:
        stage: trains within a budget that holds all of them.
        method: that found the front.

    Returns:
        an entry for each.
    """
    experiment = stage.experiment
    rows = read_json(stage.folder / "search" / "pareto.json")
    if not rows:
        logger.warning("The search trained no configuration, so there is no Pareto front to train (--pareto).")
    names = [f"pareto/{i}" for i in range(len(rows))]
    trained = [
        stage.train(FreshModules(name, method, configuration=configuration_of(row)), name)
        for name, row in zip(names, rows, strict=True)
    ]
    return tuple(
        FrontEntry(
            folder=name,
            trial=row["trial"],
            search_score=row["score"],
            **one.measured(experiment),
        )
        for name, row, one in zip(names, rows, trained, strict=True)
    )
